"""Beat's scheduler."""

import time
from datetime import timedelta
from functools import cached_property
from typing import Any

import structlog
from celery.beat import ScheduleEntry, SchedulingError
from celery.beat import Scheduler as InMemoryScheduler
from kombu.exceptions import OperationalError

from mainstay.celery import heartbeat
from mainstay.metrics.instruments import BEAT_SENT

logger = structlog.get_logger(__name__)


class Scheduler(InMemoryScheduler):
    """Keeps the schedule in memory, because a new pod would not have a schedule file.

    At its start it sends every task once, to catch up on those that were due while there was no Beat. Each task is
    idempotent.
    """

    def setup_schedule(self) -> None:
        super().setup_schedule()
        for entry in self.schedule.values():
            entry.last_run_at = self.app.now() - timedelta(days=1)

    @cached_property
    def producer(self) -> Any:
        heartbeat.await_broker(self.connection)
        return self.app.amqp.Producer(self.connection, auto_declare=False)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        heartbeat.beat_and_measure(self.app)
        wait: float = super().tick(*args, **kwargs)
        return min(wait, heartbeat.SECONDS)

    def apply_async(self, entry: ScheduleEntry, *args: Any, **kwargs: Any) -> Any:
        """Sends the task, and retries while the broker is down. Celery would drop it."""
        while True:
            try:
                result = super().apply_async(entry, *args, **kwargs)
            except SchedulingError as error:
                cause = error.__context__
                if not isinstance(cause, (OperationalError, *self.connection.recoverable_connection_errors)):
                    raise  # Celery logs it and continues with the next entry
                logger.error("task_not_sent", task=entry.task, error=type(cause).__name__)  # noqa: TRY400 # it is sent again
                heartbeat.beat()
                time.sleep(heartbeat.SECONDS)
            else:
                BEAT_SENT.labels(entry.task).inc()
                return result
