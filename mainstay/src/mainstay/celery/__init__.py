"""Celery with the request id in its tasks, metrics, and a heartbeat of worker and Beat."""

from typing import Any

import celery
from celery import signals

from mainstay.celery import heartbeat
from mainstay.celery.task import Task


class Celery(celery.Celery):
    """A Celery application, in place of `celery.Celery`, whose worker and Beat fit the chart.

    Settings of the project go before those that are set here.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"task_cls": Task, **options})
        self.steps["worker"].add(heartbeat.Step)
        self.add_defaults(
            lambda: {
                "worker_consumer": "mainstay.celery.heartbeat:Consumer",
                "beat_scheduler": "mainstay.celery.beat:Scheduler",
            }
        )


@signals.setup_logging.connect
def keep_logging(**_: Any) -> None:
    """A receiver of this signal makes Celery leave the logging as Django has set it up."""
