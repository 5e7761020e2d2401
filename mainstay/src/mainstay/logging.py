"""Writes the records of structlog and of Python's logging to stdout, one JSON object per line."""

import json
import logging
import re
import sys
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured

from mainstay import environment, request_id

# The query string, and the rest of the path from a possible secret on: a word of at least 20 letters, digits, - and _
# that contains a digit, such as the token of a password reset. The chart's nginx uses the same rule.
SECRET = re.compile(r"\?\S*|(?<![\w-])(?=[A-Za-z_-]*\d)[\w-]{20}\S*", re.ASCII)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("json", "console")


def configure_logging() -> dict[str, Any]:
    """Configures structlog, and returns the value of Django's LOGGING.

    LOG_LEVEL is one of LEVELS, LOG_FORMAT one of FORMATS; ImproperlyConfigured for any other value.
    """
    logging.captureWarnings(capture=True)
    level = _choice("LOG_LEVEL", LEVELS, default="INFO")
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        request_id.add_to_event,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
        if _choice("LOG_FORMAT", FORMATS, default="json") == "json"
        # Plain tracebacks, because the others show local variables, which can contain passwords.
        else [structlog.dev.ConsoleRenderer(sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*processors, *renderers],
        # Bypasses Python's logging, which would double the time per line.
        logger_factory=_StdoutLogger,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "event": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*processors, structlog.stdlib.ExtraAdder(allow=()), _redact_event],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            }
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "event"}},
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            # Django's own handlers (the console of DEBUG, mail to the admins) would repeat each record.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # The event `request` covers every 4xx; this logger adds exceptions with their traceback.
            "django.request": {"handlers": [], "level": logging.ERROR, "propagate": True},
            "gunicorn.error": {"handlers": [], "level": level, "propagate": True},
            # Those that uvicorn and granian have set up before Django.
            **{name: {"handlers": [], "level": level, "propagate": True} for name in ("uvicorn", "_granian")},
            # The event `request` replaces the access log.
            **{
                f"{server}.access": {"handlers": [], "level": logging.CRITICAL, "propagate": False}
                for server in ("gunicorn", "uvicorn", "granian")
            },
            # `probe` is logged when a result changes; the library would log every failure.
            "health_check": {"handlers": [], "level": logging.CRITICAL, "propagate": False},
        },
    }


def redact(path: str) -> str:
    """The path without its query, and without what follows the place where a secret may begin."""
    return SECRET.sub("…", path)


class _StdoutLogger:
    """A logger for structlog that writes each line to the current sys.stdout."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    debug = info = warning = error = critical = exception = log = msg


_encode = json.JSONEncoder(default=repr).encode


def _json(event: Any, **_: Any) -> str:
    """The event as JSON, by an encoder that is made once."""
    return _encode(event)


def _redact_event(_logger: Any, _method: str, event: Any) -> Any:
    """Redacts the paths in the messages of Django and Gunicorn. A task's id is no secret, and stays."""
    if event["logger"].startswith(("django.", "gunicorn.")):
        event["event"] = redact(event["event"])
    return event


def _choice(name: str, choices: tuple[str, ...], default: str) -> str:
    value = environment.text(name, default)
    for choice in choices:
        if value.lower() == choice.lower():
            return choice
    raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}.")
