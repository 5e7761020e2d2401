"""The heartbeat: a file that worker and Beat touch, and whose age a liveness probe reads.

`celery inspect ping` takes 2.9 s of CPU time per probe, and fails while the broker is down, when a restart does not
help.
"""

import json
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from celery import bootsteps
from celery.worker.components import Timer
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown
from kombu import Connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mainstay.metrics.instruments import TASK_OLDEST_AGE, TASKS_WAITING

logger = structlog.get_logger(__name__)

SECONDS = 5


def beat() -> None:
    """Touches HEARTBEAT_FILE."""
    if name := os.environ.get("HEARTBEAT_FILE"):
        Path(name).touch()


def beat_and_measure(app: Any) -> None:
    """Touches HEARTBEAT_FILE and measures the queue. Beat does so too, for a queue without a worker.

    Only a queue in Redis or Valkey is measured.
    """
    beat()
    if not str(app.conf.broker_url).startswith("redis"):
        return
    try:
        measure_queue(app)
    except Exception as error:  # noqa: BLE001 # no message of another producer may end the worker or Beat
        logger.warning("queue_not_measured", error=type(error).__name__)


def measure_queue(app: Any) -> None:
    """Sets the number of tasks in the default queue, and the age of the oldest: the last of the broker's list."""
    broker, queue = _broker(app.conf.broker_url), app.conf.task_default_queue
    TASKS_WAITING.set(broker.llen(queue))
    oldest = broker.lindex(queue, -1)
    published = json.loads(oldest)["headers"].get("published_at") if oldest else None
    TASK_OLDEST_AGE.set(max(0.0, time.time() - published) if published else 0.0)


def await_broker(connection: Connection, each_second: Callable[[], object] = lambda: None) -> None:
    """Returns when the broker can be reached, and touches HEARTBEAT_FILE until then."""

    def wait() -> None:
        beat()
        each_second()

    def log(error: Exception, interval: float) -> None:
        logger.error("broker_unreachable", error=type(error).__name__, retry_in_s=interval)

    connection.ensure_connection(log, interval_max=10, callback=wait)


class Step(bootsteps.StartStopStep):
    """The heartbeat of the worker's main process."""

    requires = (Timer,)

    def start(self, worker: Any) -> None:
        beat_and_measure(worker.app)
        self.timer = worker.timer.call_repeatedly(SECONDS, beat_and_measure, (worker.app,))

    def stop(self, worker: Any) -> None:
        self.timer.cancel()


class Consumer(CeleryConsumer):
    """Celery's consumer, with a heartbeat while the broker is down."""

    def ensure_connected(self, conn: Connection) -> Connection:
        await_broker(conn, maybe_shutdown)
        return super().ensure_connected(conn)


@cache
def _broker(url: str) -> Redis:
    """A client with short timeouts, because Celery's own would block the heartbeat while the broker is down."""
    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0))
