"""A release that tests share if they leave it unchanged, and a namespace for each of the other tests."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import INGRESS, Release
from tests.support.failure import pytest_runtest_makereport  # noqa: F401 # pytest hook


@pytest.fixture(scope="session", autouse=True)
def _test_domain() -> Iterator[None]:
    """Resolve every name under example.test to INGRESS."""
    getaddrinfo = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **more: Any) -> Any:
        return getaddrinfo(INGRESS if str(host).endswith(".example.test") else host, *arguments, **more)

    socket.getaddrinfo = resolve
    yield
    socket.getaddrinfo = getaddrinfo


@pytest.fixture
def empty() -> Iterator[Release]:
    """A release that is not installed yet, in its own namespace."""
    release = Release()
    yield release
    release.remove()


@pytest.fixture(scope="session")
def fresh() -> Iterator[tuple[Release, float]]:
    """A release with the default values, and the seconds until it was ready."""
    release = Release()
    started = time.monotonic()
    release.install()
    yield release, time.monotonic() - started
    release.remove()


@pytest.fixture
def release(fresh: tuple[Release, float]) -> Release:
    """The shared release, once the ingress controller routes to it."""
    release, _ = fresh
    release.wait_for_ingress()
    return release
