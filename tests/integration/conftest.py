"""Fixtures of the integration tests."""

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import zeal.constants
import zeal.patch
from django.core.cache import cache, caches
from pytest_django import Settings
from structlog.testing import capture_logs

from devserver.process import Server
from tests.support.tasks import Queue


@pytest.fixture(scope="session", autouse=True)
def _zeal() -> None:
    """Make N+1 queries raise an exception."""
    zeal.constants.initialize_app_registry()
    zeal.patch.patch()


@pytest.fixture(scope="session", autouse=True)
def _long_cache_timeouts() -> None:
    """Keep a pause of the machine from counting as a cache failure, after which pages make more database queries."""
    caches.settings["default"]["OPTIONS"] |= {"SOCKET_CONNECT_TIMEOUT": 30, "SOCKET_TIMEOUT": 30}


@pytest.fixture(autouse=True)
def _test_settings(settings: Settings, tmp_path: Path) -> None:
    """Detect N+1 queries in views, hash passwords quickly, and store uploads in a directory of the test."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "zeal.middleware.zeal_middleware"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def queue(valkey_server: Server) -> Iterator[Queue]:
    """The queue of the Celery broker, empty; the cache is empty, too."""
    queue = Queue()
    queue.client.flushdb()
    cache.clear()
    yield queue
    queue.client.close()


@pytest.fixture
def events() -> Iterator[list[MutableMapping[str, Any]]]:
    """The log events of the service since the test began."""
    with capture_logs() as entries:
        yield entries
