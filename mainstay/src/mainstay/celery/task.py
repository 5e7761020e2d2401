"""The base class of tasks."""

import time
from datetime import datetime
from typing import Any

import celery
import structlog
from celery.exceptions import Retry
from django.db import InterfaceError, OperationalError

from mainstay import request_id
from mainstay.metrics.instruments import TASK_DURATION, TASK_QUEUE


class Task(celery.Task):
    """A task that carries the request id, is measured, and is retried while the database is down."""

    # After 5, 10 and 20 s: the time that a server takes to start on another node.
    autoretry_for = (OperationalError, InterfaceError)
    retry_backoff = 5
    retry_jitter = False

    def apply_async(self, *args: Any, **options: Any) -> Any:
        options["headers"] = {
            **(options.get("headers") or {}),
            "request_id": request_id.current(),
            "published_at": time.time(),
        }
        return super().apply_async(*args, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        started = time.time()
        if published := self.request.get("published_at"):
            # The time before an ETA, for example of a retry, does not count as queue time.
            eta = self.request.get("eta")
            due = max(published, datetime.fromisoformat(eta).timestamp() if eta else 0)
            TASK_QUEUE.labels(self.name).observe(max(0.0, started - due))
        outcome = "failed"
        with (
            structlog.contextvars.bound_contextvars(task=self.name, task_id=self.request.id),
            request_id.bound(self.request.get("request_id") or request_id.current()),  # a direct call has the caller's
        ):
            try:
                result = super().__call__(*args, **kwargs)
                outcome = "succeeded"
                return result
            except Retry:
                outcome = "retried"
                raise
            finally:
                TASK_DURATION.labels(self.name, outcome).observe(time.time() - started)
