"""The system checks of the package."""

import pytest
from django.core.checks import run_checks
from django.test import override_settings
from pytest_django import Settings

UNHASHED_STORAGE = "django.contrib.staticfiles.storage.StaticFilesStorage"


def check_ids() -> list[str | None]:
    """Returns the ids of the messages of all system checks."""
    return [message.id for message in run_checks()]


def test_service_passes_all_checks() -> None:
    assert check_ids() == []


def test_static_files_without_hashed_names_are_reported(settings: Settings) -> None:
    with override_settings(STORAGES={**settings.STORAGES, "staticfiles": {"BACKEND": UNHASHED_STORAGE}}):
        assert check_ids() == ["mainstay.W001"]


@pytest.mark.parametrize(
    ("name", "value", "check_id"),
    [
        ("CELERY_ACCEPT_CONTENT", ["json", "pickle"], "mainstay.E001"),
        ("CELERY_TASK_SERIALIZER", "pickle", "mainstay.E001"),
        ("CELERY_TIMEZONE", "America/Chicago", "mainstay.E002"),
    ],
)
def test_unsupported_celery_setting_is_reported(settings: Settings, name: str, value: object, check_id: str) -> None:
    setattr(settings, name, value)

    assert check_ids() == [check_id]
