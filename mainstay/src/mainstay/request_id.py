"""The request id: from the proxy's header into logs, SQL comments, tasks and the response."""

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

HEADER = "X-Request-ID"
# The chart's nginx accepts the same ids. It admits no character that can end an SQL comment.
PATTERN = re.compile(r"[0-9A-Za-z_-]{8,64}")

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def current() -> str | None:
    """Returns the id of the current request, or of the request that enqueued the current task."""
    return _current.get()


class bound:  # noqa: N801 # `with bound(…)` reads as a function; a generator takes three times as long
    """Sets the current id for a block."""

    def __init__(self, request_id: str | None) -> None:
        self.request_id = request_id

    def __enter__(self) -> None:
        self.token = _current.set(self.request_id)

    def __exit__(self, *_: object) -> None:
        _current.reset(self.token)


def accepted(header: str | None) -> str:
    """The id of the header, or a new one if there is none or it does not match PATTERN."""
    return header if header and PATTERN.fullmatch(header) else uuid.uuid4().hex


def add_to_event(_logger: Any, _method: str, event: Any) -> Any:
    """Adds the current id to a log event: a structlog processor."""
    if request_id := _current.get():
        event["request_id"] = request_id
    return event


def comment_queries(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Appends the current id to each statement of the connection: a receiver of `connection_created`."""
    if _add_comment not in connection.execute_wrappers:  # the signal is sent again at each reconnection
        connection.execute_wrappers.insert(0, _add_comment)  # `execute_wrapper()` removes the last one


def _add_comment(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    if (request_id := _current.get()) and isinstance(sql, str):  # it may be a `Composed` of the driver
        sql = f"{sql} /* request_id={request_id} */"
    return execute(sql, params, many, context)
