"""Celery with the request id in its tasks, metrics, and a heartbeat of worker and Beat."""

from typing import Any

import celery
from celery import signals
from django.conf import settings

from mainstay.celery import heartbeat
from mainstay.celery.task import Task


class Celery(celery.Celery):
    """A Celery application for a Django project, in place of `celery.Celery`, whose worker and Beat fit the chart.

    It reads the settings named CELERY_… and finds the tasks of INSTALLED_APPS. DJANGO_SETTINGS_MODULE must be set.
    Settings and arguments of the project override the defaults given here.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        defaults: dict[str, Any] = {"task_cls": Task, "config_source": "django.conf:settings", "namespace": "CELERY"}
        super().__init__(*args, **(defaults | options))
        self.steps["worker"].add(heartbeat.Step)
        self.add_defaults(
            lambda: {
                "worker_consumer": "mainstay.celery.heartbeat:Consumer",
                "beat_scheduler": "mainstay.celery.beat:Scheduler",
                "timezone": settings.TIME_ZONE,
            }
        )
        self.autodiscover_tasks()


@signals.setup_logging.connect
def keep_logging(**_: Any) -> None:
    """A receiver of this signal makes Celery leave the logging as Django has set it up."""
