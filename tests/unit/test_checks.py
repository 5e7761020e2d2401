"""What stops a start that Django would let pass."""

import pytest
from django.core.checks import run_checks
from django.test import override_settings
from pytest_django import Settings

DJANGO_S_OWN = "django.contrib.staticfiles.storage.StaticFilesStorage"


def ids() -> list[str | None]:
    return [message.id for message in run_checks()]


def test_the_service_as_it_is_has_nothing_to_complain_of() -> None:
    assert ids() == []


def test_static_files_without_hashed_names_stop_the_start(settings: Settings) -> None:
    with override_settings(STORAGES={**settings.STORAGES, "staticfiles": {"BACKEND": DJANGO_S_OWN}}):
        assert ids() == ["mainstay.W001"]


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("CELERY_ACCEPT_CONTENT", ["json", "pickle"], "mainstay.E001"),
        ("CELERY_TASK_SERIALIZER", "pickle", "mainstay.E001"),
        ("CELERY_TIMEZONE", "America/Chicago", "mainstay.E002"),
    ],
)
def test_a_setting_that_fails_at_run_time_stops_the_start(
    settings: Settings, name: str, value: object, complaint: str
) -> None:
    setattr(settings, name, value)

    assert ids() == [complaint]
