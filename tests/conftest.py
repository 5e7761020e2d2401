"""PostgreSQL and Valkey, started only for tests that use the database."""

import os
from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from devserver.process import Server
from tests.support import servers

# Directories of tests that need a cluster, and the timeout of each test in seconds.
CLUSTER_TESTS, CLUSTER_TIMEOUT = ("cluster", "loop"), 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in CLUSTER_TESTS:
            item.add_marker(pytest.mark.timeout(CLUSTER_TIMEOUT))
            item.add_marker(pytest.mark.filterwarnings("ignore:Unverified HTTPS request"))


def pytest_xdist_setupnodes() -> None:
    """Each xdist worker has its own servers and must not load the settings before it has set their addresses."""
    os.environ.pop("DJANGO_SETTINGS_MODULE")


def pytest_configure() -> None:
    import django  # after tests.support.servers has set the environment

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
    """Start the servers before pytest-django creates the test database."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Ends the sessions of processes that have just exited, since pytest-django drops the test database next."""
    yield
    from django.db import connection

    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
