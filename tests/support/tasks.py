"""The tasks that wait in the broker, and what a worker does with one, without its waiting for an hour to come."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
from celery.app.trace import trace_task
from django.conf import settings

from service.celery import app


@dataclass(frozen=True)
class Message:
    name: str
    args: list[Any]
    headers: dict[str, Any]

    @classmethod
    def parse(cls, text: bytes | str) -> "Message":
        message = json.loads(text)
        args, _, _ = json.loads(base64.b64decode(message["body"]))
        return cls(message["headers"]["task"], args, message["headers"])

    @property
    def due(self) -> datetime | None:
        """When a worker may begin it; None for at once."""
        eta = self.headers["eta"]
        return datetime.fromisoformat(eta) if eta else None

    def run(self) -> str:
        """Has Celery do it as a worker's process does; the state it ends in."""
        request = {**self.headers, "args": self.args, "kwargs": {}, "is_eager": False, "called_directly": False}
        result = trace_task(app.tasks[self.name], self.headers["id"], tuple(self.args), {}, request, app=app)
        return result.info.state if result.info else "SUCCESS"


class Queue:
    """The list `celery` of the real broker."""

    def __init__(self) -> None:
        self.client = redis.Redis.from_url(settings.CELERY_BROKER_URL)

    def waiting(self) -> list[Message]:
        """The oldest first."""
        return [Message.parse(text) for text in reversed(self.client.lrange("celery", 0, -1))]

    def take(self) -> Message:
        """The oldest, which the queue then has no more."""
        text = self.client.rpop("celery")
        assert isinstance(text, bytes), "no task waits"
        return Message.parse(text)
