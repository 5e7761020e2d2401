"""System checks for settings that Django accepts but that cause errors at run time."""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning


@register
def static_files_have_hashed_names(**_: Any) -> list[CheckMessage]:
    """Django 5.1 and later ignore STATICFILES_STORAGE, so the storage itself is checked."""
    if isinstance(staticfiles_storage, ManifestFilesMixin):
        return []
    return [
        CheckWarning(
            "Static files have no hashed names, so browsers may keep an old version.",
            hint='Set STORAGES["staticfiles"] to mainstay.storage.StaticFilesStorage (extra static).',
            id="mainstay.W001",
        )
    ]


@register
def tasks_are_json(**_: Any) -> list[CheckMessage]:
    """A pickled message can run any code in the worker."""
    accepted = getattr(settings, "CELERY_ACCEPT_CONTENT", ["json"])
    if list(accepted) == ["json"] and getattr(settings, "CELERY_TASK_SERIALIZER", "json") == "json":
        return []
    return [
        Error(
            "Celery accepts or sends messages other than JSON.",
            hint='Set CELERY_ACCEPT_CONTENT to ["json"] and CELERY_TASK_SERIALIZER to "json".',
            id="mainstay.E001",
        )
    ]


@register
def time_zones_agree(**_: Any) -> list[CheckMessage]:
    """Beat's schedule must use Django's time zone."""
    if getattr(settings, "CELERY_TIMEZONE", settings.TIME_ZONE) == settings.TIME_ZONE:
        return []
    return [Error("CELERY_TIMEZONE differs from TIME_ZONE.", hint="Set both to the same zone.", id="mainstay.E002")]
