"""One release for the tests that leave it as they found it; a namespace of its own for each of the others."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import INGRESS, Release
from tests.support.failure import pytest_runtest_makereport  # noqa: F401 # a hook


@pytest.fixture(scope="session", autouse=True)
def hosts() -> Iterator[None]:
    """Names under example.test are the cluster's ingress, at INGRESS (127.0.0.1)."""
    ask = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **more: Any) -> Any:
        return ask(INGRESS if str(host).endswith(".example.test") else host, *arguments, **more)

    socket.getaddrinfo = answer
    yield
    socket.getaddrinfo = ask


@pytest.fixture
def empty() -> Iterator[Release]:
    """A namespace in which nothing is installed."""
    release = Release()
    yield release
    release.remove()


@pytest.fixture(scope="session")
def fresh() -> Iterator[tuple[Release, float]]:
    """A release of nothing but a host name and the image, and the seconds until it was ready."""
    release = Release()
    started = time.monotonic()
    release.install()
    yield release, time.monotonic() - started
    release.remove()


@pytest.fixture
def release(fresh: tuple[Release, float]) -> Release:
    """It, as its people see it."""
    release, _ = fresh
    release.await_ingress()
    return release
