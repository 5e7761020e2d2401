"""A real Gunicorn over the test's database, for what the test client can't show."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from devserver.process import Server, spawn
from tests.support import ROOT
from tests.support.ports import free_port
from tests.support.processes import answers
from tests.support.servers import DATA, ENVIRONMENT

COMMAND = ("-m", "gunicorn", "--config", "python:mainstay.gunicorn", "service.wsgi:application")


@dataclass(kw_only=True)
class Gunicorn(Server):
    log: Path
    health_url: str


def database_url() -> str:
    """That of the test's database."""
    return f"{ENVIRONMENT['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"


@contextmanager
def gunicorn(**environment: str) -> Iterator[Gunicorn]:
    """One that answers, with `environment` over that of the tests; it has to end with status 0 on SIGTERM."""
    port, health_port = free_port(), free_port()
    log = DATA / f"gunicorn-{port}.log"
    ours = {
        "DATABASE_URL": database_url(),
        "GUNICORN_BIND": f"127.0.0.1:{port}",
        "HEALTH_BIND": f"127.0.0.1:{health_port}",
    }
    process = spawn([sys.executable, *COMMAND], cwd=ROOT, env=os.environ | ENVIRONMENT | ours | environment, log=log)

    server = Gunicorn(
        name="Gunicorn",
        process=process,
        url=f"http://127.0.0.1:{port}",
        health_url=f"http://127.0.0.1:{health_port}",
        log=log,
        grace=40,
        ending=signal.SIGTERM,
        answers=lambda: answers(f"http://127.0.0.1:{health_port}/livez"),
    )
    server.wait()
    try:
        yield server
    finally:
        server.stop()
    assert process.returncode == 0, server.said()
