"""Redaction of paths in the log and in messages of Django and Gunicorn."""

import json
import logging
import logging.config

import pytest

from mainstay.logging import configure_logging, redact
from tests.support.serving import LOGGED_PATHS, TOKEN


@pytest.mark.parametrize(("path", "redacted"), [*LOGGED_PATHS, ("/search/?q=ada", "/search/…")])
def test_path_is_cut_where_a_secret_may_begin(path: str, redacted: str) -> None:
    assert redact(path) == redacted


def test_long_path_is_redacted_in_linear_time() -> None:
    assert redact("/a" * 100_000) == "/a" * 100_000
    assert redact("a" * 200_000) == "a" * 200_000


@pytest.mark.parametrize(
    ("logger", "event"),
    [
        ("django.request", "Not Found: /reset/MQ/…"),
        ("gunicorn.error", "Not Found: /reset/MQ/…"),
        ("celery.worker", f"Not Found: /reset/MQ/{TOKEN}/"),
    ],
)
def test_messages_of_django_and_gunicorn_are_redacted(logger: str, event: str) -> None:
    settings = configure_logging()["formatters"]["event"]
    formatter = logging.config.DictConfigurator({"version": 1}).configure_formatter(settings)
    record = logging.makeLogRecord(
        {"name": logger, "levelname": "ERROR", "msg": "Not Found: %s", "args": (f"/reset/MQ/{TOKEN}/",)}
    )

    assert json.loads(formatter.format(record))["event"] == event
