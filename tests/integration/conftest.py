"""Fixtures for tests of pages and tasks."""

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
    zeal.constants.initialize_app_registry()
    zeal.patch.patch()


@pytest.fixture(scope="session", autouse=True)
def _patient_cache() -> None:
    """Long timeouts: on a slow machine, a page would bypass the cache and make more queries."""
    caches.settings["default"]["OPTIONS"] |= {"SOCKET_CONNECT_TIMEOUT": 30, "SOCKET_TIMEOUT": 30}


@pytest.fixture(autouse=True)
def _test_settings(settings: Settings, tmp_path: Path) -> None:
    """N+1 queries raise; password hashing is fast; each test has its own MEDIA_ROOT."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "zeal.middleware.zeal_middleware"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def queue(valkey_server: Server) -> Iterator[Queue]:
    """The broker's queue; queue and cache are empty."""
    queue = Queue()
    queue.client.flushdb()
    cache.clear()
    yield queue
    queue.client.close()


@pytest.fixture
def events() -> Iterator[list[MutableMapping[str, Any]]]:
    """The log events since the start of the test."""
    with capture_logs() as entries:
        yield entries
