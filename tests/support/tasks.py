"""Reads tasks from the broker and runs them as a worker does, without waiting for their ETA."""

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
    """A task in the queue."""

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
        """The ETA, or None if the task can start at once."""
        eta = self.headers["eta"]
        return datetime.fromisoformat(eta) if eta else None

    def run(self) -> str:
        """Runs the task as a worker process does and returns its final state."""
        request = {**self.headers, "args": self.args, "kwargs": {}, "is_eager": False, "called_directly": False}
        result = trace_task(app.tasks[self.name], self.headers["id"], tuple(self.args), {}, request, app=app)
        return result.info.state if result.info else "SUCCESS"


class Queue:
    """Celery's default queue, the Redis list `celery`."""

    def __init__(self) -> None:
        self.client = redis.Redis.from_url(settings.CELERY_BROKER_URL)

    def waiting(self) -> list[Message]:
        """Returns the waiting tasks, oldest first."""
        return [Message.parse(text) for text in reversed(self.client.lrange("celery", 0, -1))]

    def take(self) -> Message:
        """Removes and returns the oldest task."""
        text = self.client.rpop("celery")
        assert isinstance(text, bytes), "the queue is empty"
        return Message.parse(text)
