"""What a log may know of a path, and of what Django and Gunicorn say with one in it."""

import json
import logging
import logging.config

import pytest
from mainstay.logging import configure_logging, redact

TOKEN = "d2q8x1-0b2f4a6c8e0d1f3a5b7c9d0e2f4a6b8c"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/accounts/password/reset/sent/", "/accounts/password/reset/sent/"),
        ("/admin/accounts/mail/4711/change/", "/admin/accounts/mail/4711/change/"),
        ("/static/main.0123456789ab.js", "/static/main.0123456789ab.js"),
        ("/a-long-name-of-words-alone/", "/a-long-name-of-words-alone/"),
        ("/nineteen/0123456789abcdefghi/", "/nineteen/0123456789abcdefghi/"),
        ("/twenty/0123456789abcdefghij/", "/twenty/…"),
        (f"/reset/MQ/{TOKEN}/set/", "/reset/MQ/…"),
        (f"/reset/MQ/{TOKEN}", "/reset/MQ/…"),
        (f"/invite={TOKEN}:signed", "/invite=…"),
        ("/search/?q=ada", "/search/…"),
    ],
)
def test_a_path_is_cut_where_a_secret_may_begin(path: str, shown: str) -> None:
    assert redact(path) == shown


def test_a_long_path_is_cut_in_no_time() -> None:
    assert redact("/a" * 100_000) == "/a" * 100_000
    assert redact("a" * 200_000) == "a" * 200_000


@pytest.mark.parametrize(
    ("logger", "shown"),
    [
        ("django.request", "Not Found: /reset/MQ/…"),
        ("gunicorn.error", "Not Found: /reset/MQ/…"),
        ("celery.worker", f"Not Found: /reset/MQ/{TOKEN}/"),
    ],
)
def test_what_django_and_gunicorn_say_of_a_path_is_cut(logger: str, shown: str) -> None:
    settings = configure_logging()["formatters"]["event"]
    formatter = logging.config.DictConfigurator({"version": 1}).configure_formatter(settings)
    record = logging.makeLogRecord(
        {"name": logger, "levelname": "ERROR", "msg": "Not Found: %s", "args": (f"/reset/MQ/{TOKEN}/",)}
    )

    assert json.loads(formatter.format(record))["event"] == shown
