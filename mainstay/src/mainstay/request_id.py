"""The request id on its way into SQL and tasks."""

from collections.abc import Callable
from typing import Any

import structlog


def request_id() -> str | None:
    """The id of the request that this thread, or the request that caused this task, answers."""
    value: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return value


def comment_queries(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Ends the statement with the request id, so that PostgreSQL's log leads back to ours.

    A wrapper for `connection.execute_wrapper`. The id has no character that could end a comment: see REQUEST_ID.
    """
    if current := request_id():
        sql = f"{sql} /* request_id={current} */"
    return execute(sql, params, many, context)
