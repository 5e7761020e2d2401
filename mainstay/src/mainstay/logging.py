"""One JSON object a line on stdout, for our own records and those of Django, Gunicorn and Celery."""

import logging
import re
import sys
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured

from mainstay import environment

# Of a path: the query, and what follows from where a secret may begin, such as a password reset's token. As nginx does.
SECRET = re.compile(r"\?\S*|(?<![\w-])(?=[A-Za-z_-]*\d)[\w-]{20}\S*", re.ASCII)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("json", "console")


def configure_logging() -> dict[str, Any]:
    """Configures structlog and returns the `dictConfig` that sends every logger through it.

    LOG_LEVEL is one of LEVELS, LOG_FORMAT one of FORMATS; ImproperlyConfigured for another word.
    """
    logging.captureWarnings(capture=True)
    level = _one_of("LOG_LEVEL", LEVELS, default="INFO")
    form = _one_of("LOG_FORMAT", FORMATS, default="json")
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderers: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        # Plain tracebacks: the others show local variables, and those hold passwords.
        else [structlog.dev.ConsoleRenderer(sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "event": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*shared, structlog.stdlib.ExtraAdder(allow=()), _cut_path],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            }
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "event"}},
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            # Django's own handlers (the console of DEBUG, mail to the admins) would say things twice.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # What 4xx it answers stands in `request`; an exception is said here, with its traceback.
            "django.request": {"handlers": [], "level": logging.ERROR, "propagate": True},
            "gunicorn.error": {"handlers": [], "level": level, "propagate": True},
            # `request` of our middleware says what an access log says, with the request id and the user's.
            "gunicorn.access": {"handlers": [], "level": logging.CRITICAL, "propagate": False},
            # `probe` says when a probe's answer changes; the library would say every failure.
            "health_check": {"handlers": [], "level": logging.CRITICAL, "propagate": False},
        },
    }


def cut(path: str) -> str:
    return SECRET.sub("…", path)


def _cut_path(_: Any, __: str, event: Any) -> Any:
    """What Django and Gunicorn say of a request has its path in it; a task's id is no secret, and stays."""
    if event["logger"].startswith(("django.", "gunicorn.")):
        event["event"] = cut(event["event"])
    return event


def _one_of(name: str, choices: tuple[str, ...], default: str) -> str:
    value = environment.text(name, default)
    for choice in choices:
        if value.lower() == choice.lower():
            return choice
    raise ImproperlyConfigured(f"{name} is none of {', '.join(choices)}.")
