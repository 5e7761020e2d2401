"""One JSON object a line on stdout, for the records of structlog and of Python's logging alike."""

import json
import logging
import re
import sys
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured

from mainstay import environment, request_id

# The query, and whatever follows the place where a secret may begin, such as the token of a password reset: 20 letters,
# digits, - and _ with a digit. The chart's nginx redacts the same.
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
        # Plain tracebacks: the others show local variables, and those hold passwords.
        else [structlog.dev.ConsoleRenderer(sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*processors, *renderers],
        # Past Python's logging, which would double the time of a line.
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
            # `request` has every 4xx; an exception is logged here, with its traceback.
            "django.request": {"handlers": [], "level": logging.ERROR, "propagate": True},
            "gunicorn.error": {"handlers": [], "level": level, "propagate": True},
            # `request` takes the place of an access log, with the request id and the user's.
            "gunicorn.access": {"handlers": [], "level": logging.CRITICAL, "propagate": False},
            # `probe` is logged when a result changes; the library would log every failure.
            "health_check": {"handlers": [], "level": logging.CRITICAL, "propagate": False},
        },
    }


def redact(path: str) -> str:
    """The path without its query, and without what follows the place where a secret may begin."""
    return SECRET.sub("…", path)


class _StdoutLogger:
    """A logger for structlog that writes a rendered line to stdout as it is at that moment."""

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
