"""Queries PostgreSQL with a deadline, and finds unapplied migrations."""

import select
import threading
import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration

TIMEOUT = 1.0  # seconds that a query of this module may take

Key = tuple[str, str]

_connection: psycopg2.extensions.connection | None = None
_connection_lock = threading.Lock()


class DatabaseUnavailable(Exception):  # noqa: N818 # a state of the server, not an error of the caller
    """PostgreSQL is unavailable. The message omits the server's text, which can contain hosts and users."""


def query(sql: str) -> Sequence[Any]:
    """Returns the rows of `sql`.

    Raises DatabaseUnavailable after TIMEOUT seconds, even if the server accepts connections but never answers. The
    connection is asynchronous, so that no thread remains blocked in libpq. It stays open, so that a pod that is
    connected stays ready while PostgreSQL accepts no new connections.
    """
    global _connection
    deadline = time.monotonic() + TIMEOUT
    with _connection_lock:
        while True:
            is_kept = _connection is not None
            try:
                return _ask(sql, deadline)
            except (psycopg2.Error, TimeoutError) as error:
                if _connection is not None:
                    _connection.close()
                _connection = None
                # The server may have closed a kept connection, for example when it restarted.
                if not (is_kept and isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))):
                    raise DatabaseUnavailable(_reason(error)) from error


def _ask(sql: str, deadline: float) -> Sequence[Any]:
    global _connection
    if _connection is None:
        _connection = psycopg2.connect(**_parameters(), async_=True)
        _wait(_connection, deadline)
    with _connection.cursor() as cursor:
        cursor.execute(sql)
        _wait(_connection, deadline)
        return cursor.fetchall()


def unapplied_migrations() -> list[Key]:
    """The migrations of the image that the database lacks, sorted; DatabaseUnavailable if there is no answer."""
    return unapplied(query("SELECT app, name FROM django_migrations"))


def unapplied(applied: Iterable[Key]) -> list[Key]:
    """The migrations of the image that are not in `applied`.

    A squashed migration counts as applied when all migrations that it replaces are applied.
    """
    done = set(applied)
    return sorted(
        key
        for key, migration in migrations().items()
        if key not in done and not (migration.replaces and done.issuperset(map(tuple, migration.replaces)))
    )


def describe(unapplied: Sequence[Key]) -> str:
    """Returns a message, or an empty string if nothing is unapplied."""
    return f"{len(unapplied)} migrations are not applied, first {'.'.join(unapplied[0])}" if unapplied else ""


@cache
def migrations() -> dict[Key, Migration]:
    """The migrations of the image by app and name."""
    return dict(MigrationLoader(None).disk_migrations)


def _wait(connection: psycopg2.extensions.connection, deadline: float) -> None:
    """Returns when the connection is ready; TimeoutError at the deadline."""
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        poll = select.poll()
        poll.register(connection, select.POLLOUT if state == psycopg2.extensions.POLL_WRITE else select.POLLIN)
        if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            raise TimeoutError


@cache
def _parameters() -> dict[str, Any]:
    """The connection parameters of Django's backend that libpq knows. The backend may use psycopg 3."""
    parameters = connections[DEFAULT_DB_ALIAS].get_connection_params()
    drivers_own = {"context", "cursor_factory", "prepare_threshold"}
    return {name: value for name, value in parameters.items() if name not in drivers_own}


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, psycopg2.errors.UndefinedTable):
        return "no migration is applied"
    return "no connection"
