"""What the tests of pages and tasks share."""

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
    """A pause of the machine is no cache that is gone: a page would do without, and ask the database more."""
    caches.settings["default"]["OPTIONS"] |= {"SOCKET_CONNECT_TIMEOUT": 30, "SOCKET_TIMEOUT": 30}


@pytest.fixture(autouse=True)
def _suited_settings(settings: Settings, tmp_path: Path) -> None:
    """A view that asks once a row raises; passwords cost nothing; uploads go where nobody else looks."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "zeal.middleware.zeal_middleware"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def queue(valkey_server: Server) -> Iterator[Queue]:
    """The broker's queue, empty; the cache is empty too."""
    queue = Queue()
    queue.client.flushdb()
    cache.clear()
    yield queue
    queue.client.close()


@pytest.fixture
def events() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the service has logged since the test began."""
    with capture_logs() as entries:
        yield entries
