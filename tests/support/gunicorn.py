"""A Gunicorn server on the test database, for tests that the Django test client cannot do."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from devserver import postgres
from devserver.process import Server, spawn
from tests.support import ROOT
from tests.support.ports import free_port
from tests.support.processes import answers
from tests.support.servers import DATA, ENVIRONMENT, POSTGRES

COMMAND = ("-m", "gunicorn", "--config", "python:mainstay.gunicorn", "service.wsgi:application")


@dataclass(kw_only=True)
class Gunicorn(Server):
    log: Path
    health_url: str


def database_url() -> str:
    """Return the URL of the database that pytest-django created."""
    return postgres.url(*POSTGRES, database=connection.settings_dict["NAME"])


@contextmanager
def gunicorn(**environment: str) -> Iterator[Gunicorn]:
    """Run Gunicorn with `environment` added to that of the tests. It must exit with status 0 on SIGTERM."""
    port, health_port = free_port(), free_port()
    log = DATA / f"gunicorn-{port}.log"
    defaults = {
        "DATABASE_URL": database_url(),
        "GUNICORN_BIND": f"127.0.0.1:{port}",
        "HEALTH_BIND": f"127.0.0.1:{health_port}",
    }
    variables = os.environ | ENVIRONMENT | defaults | environment
    server = Gunicorn(
        name="Gunicorn",
        process=spawn([sys.executable, *COMMAND], cwd=ROOT, env=variables, log=log),
        url=f"http://127.0.0.1:{port}",
        health_url=f"http://127.0.0.1:{health_port}",
        log=log,
        stop_timeout=40,
        is_ready=lambda: answers(f"http://127.0.0.1:{health_port}/livez"),
    )
    server.wait()
    try:
        yield server
    finally:
        server.stop()
    assert server.process.returncode == 0, server.log_tail()
