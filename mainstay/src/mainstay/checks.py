"""What Django would take silently and the service would miss at run time."""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import CheckMessage, Error, register
from whitenoise.storage import CompressedManifestStaticFilesStorage


@register
def static_files_are_hashed(**_: Any) -> list[CheckMessage]:
    """The old STATICFILES_STORAGE is ignored since Django 5.1: assert the storage itself."""
    if isinstance(staticfiles_storage, CompressedManifestStaticFilesStorage):
        return []
    return [
        Error(
            "Static files have no hashed names.",
            hint='Set STORAGES["staticfiles"] to whitenoise.storage.CompressedManifestStaticFilesStorage.',
            id="operations.E001",
        )
    ]


@register
def tasks_are_json(**_: Any) -> list[CheckMessage]:
    """A pickled message runs what it likes in the worker."""
    if settings.CELERY_ACCEPT_CONTENT == ["json"] and settings.CELERY_TASK_SERIALIZER == "json":
        return []
    return [Error("Tasks are not JSON alone.", hint='Set CELERY_ACCEPT_CONTENT to ["json"].', id="operations.E002")]


@register
def clock_is_utc(**_: Any) -> list[CheckMessage]:
    """Days of the report and hours of the schedule are of one clock."""
    if settings.TIME_ZONE == settings.CELERY_TIMEZONE == "UTC":
        return []
    return [Error("TIME_ZONE and CELERY_TIMEZONE differ or are not UTC.", hint="Set both.", id="operations.E003")]
