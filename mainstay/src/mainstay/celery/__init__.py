"""Celery's side: what a task carries along, what is measured, and the heartbeat that a probe reads."""

import json
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from billiard import current_process
from celery import Task, bootsteps, signals
from celery.beat import ScheduleEntry, SchedulingError
from celery.beat import Scheduler as InMemoryScheduler
from celery.exceptions import Retry as TaskRetry
from celery.worker.components import Timer
from celery.worker.consumer import Consumer as WorkerConsumer
from celery.worker.state import maybe_shutdown
from django.db import InterfaceError, OperationalError, connection
from kombu import Connection
from kombu.exceptions import OperationalError as BrokerError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from mainstay.metrics import slots
from mainstay.metrics.instruments import BEAT_SENT, TASK_DURATION, TASK_OLDEST_AGE, TASK_QUEUE, TASKS_WAITING
from mainstay.request_id import comment_queries, request_id

logger = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 5
# An attempt to publish that fails in that time hasn't waited for a broker that hangs.
PROMPT_SECONDS = 2
# kube-proxy writes its rules once a second: until then a new pod is refused.
REFUSED_SECONDS = 1


def beat_heart() -> None:
    """Touches HEARTBEAT_FILE, whose age a probe reads: cheaper than `celery inspect ping`, 2.9 s of CPU a probe."""
    if name := os.environ.get("HEARTBEAT_FILE"):
        Path(name).touch()


class TracedTask(Task):
    """A task that knows which request caused it and when, is measured, and waits for a database that is away."""

    # After 5, 10 and 20 seconds: as long as a server takes that starts on another node.
    autoretry_for = (OperationalError, InterfaceError)
    retry_backoff = 5
    retry_jitter = False

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Publishes the task; kombu's OperationalError when the broker has refused it twice, or hangs."""
        options["headers"] = {
            **(options.get("headers") or {}),
            "request_id": request_id(),
            "published_at": time.time(),
        }
        started = time.monotonic()
        try:
            return super().apply_async(*args, **options)
        except BrokerError as error:
            # That a connection is lost shows when it is used. A broker that hangs is not asked again: a person waits.
            if time.monotonic() - started > PROMPT_SECONDS:
                raise
            logger.warning("task_published_again", task=self.name, error=type(error.__cause__).__name__)
            time.sleep(REFUSED_SECONDS)
            return super().apply_async(*args, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        started = time.time()
        if published := self.request.get("published_at"):
            # One that is tried again waits for its time first: that is no queue.
            eta = self.request.get("eta")
            due = max(published, datetime.fromisoformat(eta).timestamp() if eta else 0)
            TASK_QUEUE.labels(self.name).observe(max(0.0, started - due))
        outcome = "failed"
        context = {"task": self.name, "task_id": self.request.id, "request_id": self.request.get("request_id")}
        with structlog.contextvars.bound_contextvars(**context), connection.execute_wrapper(comment_queries):
            try:
                result = super().__call__(*args, **kwargs)
                outcome = "succeeded"
                return result
            except TaskRetry:
                outcome = "retried"
                raise
            finally:
                TASK_DURATION.labels(self.name, outcome).observe(time.time() - started)


class Heartbeat(bootsteps.StartStopStep):
    """In the worker's main process."""

    requires = (Timer,)

    def start(self, worker: Any) -> None:
        beat_and_measure(worker.app)
        self.timer = worker.timer.call_repeatedly(HEARTBEAT_SECONDS, beat_and_measure, (worker.app,))

    def stop(self, worker: Any) -> None:
        self.timer.cancel()


def beat_and_measure(app: Any) -> None:
    """The worker's main process does it, and Beat, which is there where no worker runs."""
    beat_heart()
    try:
        measure_queue(app)
    except RedisError as error:
        logger.warning("queue_not_measured", error=type(error).__name__)


def measure_queue(app: Any) -> None:
    """Sets how many tasks wait and how old the oldest is; the broker's list has it at its end."""
    broker, queue = _broker(app.conf.broker_url), app.conf.task_default_queue
    TASKS_WAITING.set(broker.llen(queue))
    oldest = broker.lindex(queue, -1)
    published = json.loads(oldest)["headers"].get("published_at") if oldest else None
    TASK_OLDEST_AGE.set(max(0.0, time.time() - published) if published else 0.0)


class Consumer(WorkerConsumer):
    """Celery's consumer, whose heart goes on beating while the broker is away: a restart would not bring it back."""

    def ensure_connected(self, conn: Connection) -> Connection:
        await_broker(conn, maybe_shutdown)
        return super().ensure_connected(conn)


def await_broker(broker: Connection, each_second: Callable[[], object] = lambda: None) -> None:
    """Returns when the broker can be reached, and beats the heart until then."""

    def wait() -> None:
        beat_heart()
        each_second()

    def say(error: Exception, interval: float) -> None:
        logger.error("broker_unreachable", error=type(error).__name__, retry_in_s=interval)

    broker.ensure_connection(say, interval_max=10, callback=wait)


@cache
def _broker(url: str) -> Redis:
    """A client that gives up soon: Celery's own would hold the heartbeat back until the broker is there again."""
    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0))


class Scheduler(InMemoryScheduler):
    """Beat's schedule without a file, which a new pod would not find.

    At its start every task is sent once, so that what was missed while there was no beat is caught up; each is
    idempotent.
    """

    def setup_schedule(self) -> None:
        super().setup_schedule()
        for entry in self.schedule.values():
            entry.last_run_at = self.app.now() - timedelta(days=1)

    def _ensure_connected(self) -> Connection:
        await_broker(self.connection)
        return self.connection

    def tick(self, *args: Any, **kwargs: Any) -> float:
        beat_and_measure(self.app)
        wait: float = super().tick(*args, **kwargs)
        return min(wait, HEARTBEAT_SECONDS)

    def apply_async(self, entry: ScheduleEntry, *args: Any, **kwargs: Any) -> Any:
        """Sends the task; Celery would drop one that is due while the broker is away."""
        while True:
            try:
                result = super().apply_async(entry, *args, **kwargs)
            except SchedulingError as error:
                logger.error("task_not_sent", task=entry.task, error=type(error.__cause__).__name__)  # noqa: TRY400 # again soon
                beat_heart()
                time.sleep(HEARTBEAT_SECONDS)
            else:
                BEAT_SENT.labels(entry.task).inc()
                return result


# A pool's process has no other hook between its fork and its first task.
@signals.worker_process_init.connect
def take_slot(**_: Any) -> None:
    slots.take(f"worker-{current_process().index}")  # type: ignore[attr-defined] # of the pool


@signals.setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Whoever answers this signal has Celery leave the logging alone: Django has set it up."""
