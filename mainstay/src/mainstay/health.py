"""/livez, /readyz and /startupz, answered before Django: no middleware, no ALLOWED_HOSTS, no thread that hangs.

livez    the process answers; nothing else, since a restart cures nothing else.
readyz   the database answers; a lost cache is named, and the service goes on without it.
startupz the database's schema is at least the image's.

A failure is 503 with JSON that names the check and never an address, a user or a password. An answer is kept
for 2 s, so that many probers cost one check.
"""

import asyncio
import json
import select
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import structlog
from django.db import DEFAULT_DB_ALIAS, connections
from django_redis import get_redis_connection
from health_check.base import HealthCheck, HealthCheckResult
from health_check.exceptions import ServiceUnavailable, ServiceWarning
from redis.exceptions import RedisError

from mainstay import database

logger = structlog.get_logger(__name__)

LIMIT = 1.0  # seconds that a check may take
KEPT = 2.0  # seconds that an answer is kept

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Database(HealthCheck):
    """PostgreSQL answers `SELECT 1` on a connection of this process's own."""

    timeout = timedelta(seconds=LIMIT - 0.8)  # the library adds a second: the limit where a name server hangs

    def run(self) -> None:  # type: ignore[override] # the library takes both
        query("SELECT 1")


class Schema(HealthCheck):
    """Every migration of the image is applied."""

    timeout = Database.timeout

    def run(self) -> None:  # type: ignore[override] # the library takes both
        if missing := missing_migrations():
            raise ServiceUnavailable(missing)


class Cache(HealthCheck):
    """Valkey answers PING."""

    timeout = Database.timeout

    def run(self) -> None:  # type: ignore[override] # the library takes both
        try:
            get_redis_connection("default").ping()
        except (RedisError, OSError) as error:
            raise ServiceWarning("no answer") from error


@dataclass
class Probe:
    """A path's checks and their last answer; one thread at a time asks, the others wait for its answer."""

    name: str
    checks: tuple[type[HealthCheck], ...]
    lock: threading.Lock = field(default_factory=threading.Lock)
    answered_at: float = float("-inf")
    status: int = 0
    body: bytes = b""

    def answer(self) -> tuple[int, bytes]:
        with self.lock:
            if time.monotonic() - self.answered_at > KEPT:
                self._ask()
            return self.status, self.body

    def _ask(self) -> None:
        results = asyncio.run(_results([check() for check in self.checks]))
        # Whatever goes wrong with the cache, the service goes on without it.
        failed = any(result.error and not isinstance(result.check, Cache) for result in results)
        degraded = any(result.error for result in results)
        report = {
            "status": "failed" if failed else "degraded" if degraded else "ok",
            "checks": {
                type(result.check).__name__.lower(): str(result.error) if result.error else "ok" for result in results
            },
        }
        body = json.dumps(report).encode() + b"\n"
        if body != self.body:
            logger.log(30 if degraded else 20, "probe", probe=self.name, **report)
        self.status, self.body = (503 if failed else 200), body
        self.answered_at = time.monotonic()


PROBES = {
    f"/{probe.name}": probe
    for probe in (Probe("livez", ()), Probe("readyz", (Database, Cache)), Probe("startupz", (Schema,)))
}


def with_health(application: Wsgi) -> Wsgi:
    """The application, with the three paths answered in front of it."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        probe = PROBES.get(environ["PATH_INFO"])
        if probe is None:
            return application(environ, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
            return []
        status, body = probe.answer()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
        start_response("200 OK" if status == 200 else "503 Service Unavailable", headers)
        return [body] if environ["REQUEST_METHOD"] == "GET" else []

    return answer


# --- asking without hanging ----------------------------------------------------------------------

_connection: psycopg2.extensions.connection | None = None
_connection_lock = threading.Lock()


def query(sql: str) -> Sequence[Any]:
    """The rows of `sql`, within LIMIT seconds even where the server accepts and never answers.

    ServiceUnavailable without an answer. The connection is asynchronous, so that no thread stays behind in
    libpq, and stays open, so that a database that is full for newcomers leaves a serving pod ready.
    """
    global _connection
    deadline = time.monotonic() + LIMIT
    with _connection_lock:
        try:
            if _connection is None:
                _connection = psycopg2.connect(**_parameters(), async_=True)
                _wait(_connection, deadline)
            with _connection.cursor() as cursor:
                cursor.execute(sql)
                _wait(_connection, deadline)
                return cursor.fetchall()
        except (psycopg2.Error, TimeoutError) as error:
            if _connection is not None:
                _connection.close()
            _connection = None
            raise ServiceUnavailable(_reason(error)) from error


def missing_migrations() -> str:
    """Which of the image's migrations are not applied, or nothing; ServiceUnavailable without an answer."""
    missing = database.pending(query("SELECT app, name FROM django_migrations"))
    return f"{len(missing)} migrations are not applied, first {'.'.join(missing[0])}" if missing else ""


def _wait(connection: psycopg2.extensions.connection, deadline: float) -> None:
    """Until the connection is done with what it does; TimeoutError at the deadline."""
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        poll = select.poll()
        poll.register(connection, select.POLLOUT if state == psycopg2.extensions.POLL_WRITE else select.POLLIN)
        if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            raise TimeoutError


@cache
def _parameters() -> dict[str, Any]:
    parameters = dict(connections[DEFAULT_DB_ALIAS].get_connection_params())
    parameters.pop("cursor_factory", None)
    return parameters


def _reason(error: Exception) -> str:
    """What went wrong, without the server's words: they name hosts and users."""
    if isinstance(error, TimeoutError):
        return f"no answer within {LIMIT:g} s"
    if isinstance(error, psycopg2.errors.UndefinedTable):
        return "no migration is applied"
    return "no connection"


@cache
def _executor() -> ThreadPoolExecutor:
    """Two threads a process at the most stay behind where even the name server hangs."""
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="check")


async def _results(checks: list[HealthCheck]) -> list[HealthCheckResult]:
    return await asyncio.gather(*(check.get_result(_executor()) for check in checks))
