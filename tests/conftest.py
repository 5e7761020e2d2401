"""Real servers for every test that asks for the database; unit tests start none."""

import os
from collections.abc import Iterator

import pytest

from devserver.process import Server
from tests.support import servers

# The folders of the tests that wait for a cluster, and the seconds that each may take.
ON_A_CLUSTER, SECONDS = ("cluster", "loop"), 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in ON_A_CLUSTER:
            item.add_marker(pytest.mark.timeout(SECONDS))
            item.add_marker(pytest.mark.filterwarnings("ignore:Unverified HTTPS request"))


def pytest_xdist_setupnodes() -> None:
    """Each process has servers of its own, so it reads the settings when it knows their addresses, not before."""
    os.environ.pop("DJANGO_SETTINGS_MODULE")


def pytest_configure() -> None:
    import django  # the environment is set by now

    django.setup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    server = servers.start_postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    server = servers.start_valkey()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres_server: Server, valkey_server: Server) -> None:
    """pytest-django asks for this before it makes the test database."""
