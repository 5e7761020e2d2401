"""The probes /livez, /readyz and /startupz.

livez    The process responds. Nothing else is checked, because a restart fixes nothing else.
readyz   The database answers. A cache that does not answer is reported, and the service goes on without it.
startupz Every migration of the image is applied.

A failure is a 503 with JSON that names the check, and never an address, a user or a password. Results are cached for 2
s, so that many probes run one check.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache

import structlog
from django.conf import settings
from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from health_check.base import HealthCheck, HealthCheckResult
from health_check.exceptions import ServiceUnavailable, ServiceWarning

from mainstay import database

logger = structlog.get_logger(__name__)

KEPT_SECONDS = 2.0
HEADERS = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


class _Check(HealthCheck):
    # django-health-check adds 1 s to this limit, which takes effect only if a name server hangs.
    timeout = timedelta(seconds=database.TIMEOUT - 0.8)

    def run(self) -> None:  # type: ignore[override] # the library accepts sync and async methods
        try:
            self.ask()
        except database.DatabaseUnavailable as error:
            raise ServiceUnavailable(str(error)) from error

    def ask(self) -> None:
        raise NotImplementedError


class Database(_Check):
    """PostgreSQL answers `SELECT 1`."""

    def ask(self) -> None:
        database.query("SELECT 1")


class Schema(_Check):
    """Every migration of the image is applied."""

    def ask(self) -> None:
        if missing := database.describe(database.unapplied_migrations()):
            raise ServiceUnavailable(missing)


class Cache(_Check):
    """The Redis cache answers, of django-redis or of Django. It never fails the probe."""

    def ask(self) -> None:
        from redis.exceptions import RedisError

        cache = caches[DEFAULT_CACHE_ALIAS]
        try:
            if hasattr(cache, "client"):  # of django-redis, whose `get` may ignore an error
                cache.client.get_client().ping()
            else:
                cache.get("mainstay.health")
        except (RedisError, OSError) as error:
            raise ServiceWarning("no answer") from error


@dataclass
class Probe:
    """A path's checks and their last result. One thread at a time runs them; the others wait for its result."""

    name: str
    checks: Callable[[], list[type[HealthCheck]]]
    lock: threading.Lock = field(default_factory=threading.Lock)
    checked_at: float = float("-inf")
    status: int = 0
    body: bytes = b""

    def answer(self) -> tuple[int, bytes]:
        """The HTTP status, 200 or 503, and the body."""
        with self.lock:
            if time.monotonic() - self.checked_at > KEPT_SECONDS:
                self._run()
            return self.status, self.body

    def _run(self) -> None:
        results = _run([check() for check in self.checks()])
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
            logger.log(logging.WARNING if degraded else logging.INFO, "probe", probe=self.name, **report)
        self.status, self.body = (503 if failed else 200), body
        self.checked_at = time.monotonic()


def _ready_checks() -> list[type[HealthCheck]]:
    has_redis = "redis" in settings.CACHES[DEFAULT_CACHE_ALIAS]["BACKEND"]
    return [Database, Cache] if has_redis else [Database]


PROBES = {
    "/livez": Probe("livez", list),
    "/readyz": Probe("readyz", _ready_checks),
    "/startupz": Probe("startupz", lambda: [Schema]),
}


def _run(checks: list[HealthCheck]) -> list[HealthCheckResult]:
    async def gather() -> list[HealthCheckResult]:
        return await asyncio.gather(*(check.get_result(_executor(type(check))) for check in checks))

    return asyncio.run(gather())


@cache
def _executor(check: type[HealthCheck]) -> ThreadPoolExecutor:
    """One thread of each check: a cache without a time limit holds back no other check, and one thread stays behind."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=check.__name__.lower())
