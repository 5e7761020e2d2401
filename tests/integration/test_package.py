"""The wheel of django-mainstay in a project of its own, made by docs/your-own-project.md, under each server."""

import http.client
import json
import os
import secrets
import shlex
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import requests
from pytest_django import Settings

from devserver.process import Child, Server, spawn
from mainstay.health import PROBES, Probe
from tests.integration.test_metrics import exporter, value
from tests.support import plain_project, processes, servers
from tests.support.documents import blocks
from tests.support.plain_project import uv
from tests.support.ports import free_port

_, COMMANDS = blocks("mainstay/README.md", "sh")
NAMES = ("gthread", "sync", "uvicorn-worker", "uvicorn", "daphne", "granian-asgi", "granian-wsgi")
SERVERS = dict(zip(NAMES, COMMANDS.splitlines(), strict=True))
SOCKET = "/run/gunicorn/gunicorn.sock"
FORWARDED = 'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")'
BASE = servers.ENVIRONMENT["DATABASE_URL"].rpartition("/")[0]


@dataclass(frozen=True)
class Site:
    """The project `plain` and the virtual environment that it is installed in."""

    directory: Path
    environment: dict[str, str]

    def program(self, name: str) -> Path:
        return self.directory / "venv/bin" / name

    def python(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.program("python"), *arguments],
            cwd=self.directory,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def output(self, *arguments: str, **environment: str) -> str:
        process = self.python(*arguments, **environment)
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 0, output
        return output

    def spawn(self, *command: str, log: Path, **environment: str) -> subprocess.Popen[bytes]:
        program, *arguments = command
        return spawn(
            [self.program(program), *arguments], cwd=self.directory, env=self.environment | environment, log=log
        )

    def exporter(self, metrics: Path) -> AbstractContextManager[str]:
        """The URL of an exporter of the metrics."""
        return exporter(metrics, self.program("python"), self.directory, self.environment)


@dataclass(kw_only=True)
class WebServer(Server):
    site: Site
    log: Path
    socket: Path
    metrics: Path

    def get(self, path: str, **headers: str) -> tuple[int, Any, http.client.HTTPMessage]:
        """GET through the Unix socket, as from nginx: status, body and headers of the response."""
        with closing(UnixConnection(self.socket)) as connection:
            fields = {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request("GET", path, headers={"Host": "localhost", "Connection": "close"} | fields)
            response = connection.getresponse()
            return response.status, response.read(), response.headers

    def shop(self, **headers: str) -> dict[str, Any]:
        status, body, _ = self.get("/shop/", **headers)
        assert status == 200
        found: dict[str, Any] = json.loads(body)
        return found

    def events(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


@contextmanager
def database(name: str) -> Iterator[str]:
    """The URL of an empty database."""
    with closing(psycopg2.connect(f"{BASE}/postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            yield f"{BASE}/{name}"
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_project.build_wheel(tmp_path_factory.mktemp("dist"))


@contextmanager
def installed(wheel: Path, directory: Path, *packages: str, extras: str = "") -> Iterator[Site]:
    """The project with the wheel and packages of the locked versions, over a migrated database."""
    plain_project.start_project(directory, with_celery="celery" in extras)
    constraints = directory / "constraints.txt"
    everything = ("--all-packages", "--all-groups", "--all-extras")
    uv("export", "--quiet", "--frozen", *everything, "--no-hashes", "--no-emit-workspace", "-o", str(constraints))
    python = str(directory / "venv/bin/python")
    uv("venv", "--quiet", str(directory / "venv"))
    uv("pip", "install", "--quiet", "--python", python, "-c", str(constraints), f"{wheel}{extras}", *packages)
    name = f"plain_{secrets.token_hex(4)}"
    with database(name) as url:
        environment = {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "plain.settings",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DJANGO_ALLOWED_HOSTS": "localhost",
            "DATABASE_URL": url,
            "CELERY_BROKER_URL": servers.ENVIRONMENT["CELERY_BROKER_URL"].rpartition("/")[0] + "/7",
            "WEB_CONCURRENCY": "2",
            "PYTHONUNBUFFERED": "1",
        }
        site = Site(directory, environment)
        site.output("manage.py", "collectstatic", "--noinput")
        site.output("manage.py", "migrate", "--noinput")
        yield site


@pytest.fixture(scope="module")
def site(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory, postgres_server: Server, valkey_server: Server
) -> Iterator[Site]:
    packages = ("uvicorn", "uvicorn-worker", "daphne", "granian")
    with installed(wheel, tmp_path_factory.mktemp("site"), *packages, extras="[celery,redis]") as site:
        (site.directory / "granian_settings.py").write_text(f"from plain.settings import *\n{FORWARDED}\n")
        yield site


@contextmanager
def serving(site: Site, command: str, directory: Path, **environment: str) -> Iterator[WebServer]:
    """A server with the chart's environment. It must exit with status 0 on SIGTERM."""
    health, metrics = f"http://127.0.0.1:{free_port()}", directory / "metrics"
    metrics.mkdir(parents=True)
    # A short path: that of a Unix socket has at most 107 bytes.
    unix = servers.DATA / f"{secrets.token_hex(4)}.sock"
    log = directory / "server.log"
    chart = {
        "GUNICORN_BIND": f"unix:{unix}",
        "HEALTH_BIND": urlsplit(health).netloc,
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }
    process = site.spawn(*shlex.split(command.replace(SOCKET, str(unix))), log=log, **chart, **environment)
    server = WebServer(
        name=command,
        process=process,
        url=health,
        is_ready=lambda: processes.answers(f"{health}/livez") and accepts(unix),
        site=site,
        log=log,
        socket=unix,
        metrics=metrics,
        stop_timeout=40,
    )
    server.wait()
    try:
        yield server
    finally:
        server.stop()
    assert process.returncode == 0, server.log_tail()


def accepts(unix: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(unix)) == 0


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    settings = "granian_settings" if request.param.startswith("granian") else "plain.settings"
    directory = tmp_path_factory.mktemp(request.param)
    with serving(site, SERVERS[request.param], directory, DJANGO_SETTINGS_MODULE=settings) as server:
        yield server


def workers(server: WebServer) -> set[int]:
    """The process ids that answer: two, or one of daphne."""
    expected = 1 if "daphne" in server.name else 2
    found: set[int] = set()

    def all_answer() -> bool:
        found.add(server.shop()["pid"])
        return len(found) == expected

    processes.wait_until(all_answer, "all workers answer")
    return found


# --- under each server ---------------------------------------------------------------------------


def test_probes_answer_on_both_addresses(server: WebServer) -> None:
    for path, checks in (("/livez", {}), ("/readyz", {"database": "ok"}), ("/startupz", {"schema": "ok"})):
        health = requests.get(f"{server.url}{path}", timeout=30)
        status, body, _ = server.get(path, Host="10.0.0.7")

        expected = {"status": "ok", "checks": checks}
        assert (path, health.status_code, health.json()) == (path, 200, expected)
        assert (path, status, json.loads(body)) == (path, 200, expected)


def test_nginx_may_write_to_the_socket_and_says_what_is_https(server: WebServer) -> None:
    assert server.socket.stat().st_mode & stat.S_IWGRP
    for scheme in ("https", "http"):
        found = server.shop(X_Forwarded_For="203.0.113.7", X_Forwarded_Proto=scheme)
        assert (scheme, found["secure"]) == (scheme, scheme == "https")


def test_a_request_is_one_line_of_json_with_its_id(server: WebServer) -> None:
    request_id = secrets.token_hex(8)

    _, _, headers = server.get("/admin/login/?next=/", X_Request_ID=request_id)

    assert headers["X-Request-ID"] == request_id
    (line,) = processes.wait_until(
        lambda: [line for line in server.events("request") if line["request_id"] == request_id]
    )
    assert {name: line[name] for name in ("method", "path", "view", "status")} == {
        "method": "GET",
        "path": "/admin/login/",
        "view": "admin:login",
        "status": 200,
    }
    assert server.log.read_text().count("/admin/login/") == 1  # no second access log


def test_counters_are_exact_over_killed_workers(server: WebServer) -> None:
    labels = {"status": "200", "view": "shop", "method": "GET"}
    name = "django_http_responses_total_by_status_view_method_total"
    pids = workers(server)
    with server.site.exporter(server.metrics) as url:
        before = value(url, name, **labels)
        answered = 0
        for victim in sorted(pids) if len(pids) > 1 else []:
            os.kill(victim, signal.SIGKILL)
            for _ in range(20):
                with suppress(OSError, http.client.HTTPException):
                    server.shop()
                    answered += 1
            seen: set[int] = set()
            while len(seen - {victim}) < len(pids):
                with suppress(OSError, http.client.HTTPException):
                    seen.add(server.shop()["pid"])
                    answered += 1
        answered += sum(bool(server.shop()) for _ in range(20))

        assert value(url, name, **labels) == before + answered
        assert value(url, "http_requests_in_progress") == 0


def test_readyz_is_503_within_its_limit_while_postgres_is_frozen(server: WebServer, postgres_server: Server) -> None:
    with processes.frozen(postgres_server.process.pid):
        # when each thread of the server may wait for the database
        for _ in range(8):
            threading.Thread(target=ask_in_vain, args=(server,), daemon=True).start()
        processes.wait_until(lambda: requests.get(f"{server.url}/readyz", timeout=30).status_code == 503)
        for _ in range(2):
            started = time.monotonic()
            statuses = [requests.get(f"{server.url}{path}", timeout=30).status_code for path in ("/livez", "/readyz")]
            assert statuses == [200, 503]
            assert time.monotonic() - started < 2
            time.sleep(2.1)  # longer than a result is kept
    processes.wait_until(lambda: requests.get(f"{server.url}/readyz", timeout=30).status_code == 200)
    processes.wait_until(lambda: server.get("/shop/")[0] == 200)


def ask_in_vain(server: WebServer) -> None:
    with suppress(OSError, http.client.HTTPException):
        server.get("/shop/")


def test_requests_leave_no_connection_behind(server: WebServer) -> None:
    for _ in range(40):
        server.shop()

    url = server.site.environment["DATABASE_URL"]
    ((connections,),) = rows(url, "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()")
    # of each worker one of the probes, and one of each of its threads; under ASGI each request closes its own
    threads = 0 if "asgi" in server.name else 4
    assert connections <= len(workers(server)) * (1 + threads)


# --- each part -----------------------------------------------------------------------------------


def test_the_document_adds_at_most_twelve_lines() -> None:
    for interface in (plain_project.WSGI, plain_project.ASGI):
        code = plain_project.SETTINGS + interface + plain_project.CELERY
        assert len([line for line in code.splitlines() if line.strip()]) <= 12


def test_two_migrates_at_once_apply_each_migration_once_and_end_the_wait(site: Site) -> None:
    with database("plain_fresh") as url:
        waiting = site.python("manage.py", "wait_for_migrations", DATABASE_URL=url)
        assert waiting.stdout
        assert waiting.stdout.readline() == "Waiting: database: no migration is applied.\n"

        both = [site.python("manage.py", "migrate", "--noinput", DATABASE_URL=url) for _ in range(2)]
        outputs = [process.communicate(timeout=60)[0] for process in both]

        assert [process.returncode for process in both] == [0, 0]
        assert sum(output.count("Applying auth.0001_initial... OK") for output in outputs) == 1
        assert sum("No migrations to apply." in output for output in outputs) == 1
        assert waiting.communicate(timeout=60)[0].endswith("Every migration is applied.\n")
        assert waiting.returncode == 0


def test_worker_and_beat_touch_the_heartbeat_and_measure_their_tasks(site: Site, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    request_id = secrets.token_hex(8)
    children = []
    with (
        serving(site, SERVERS["gthread"], tmp_path / "web") as web,
        site.exporter(metrics) as url,
    ):
        try:
            for role in ("worker", "beat"):
                options = ["--concurrency", "1"] if role == "worker" else []
                log, heartbeat = tmp_path / f"{role}.log", str(tmp_path / role)
                command = ("celery", "--app", "plain", "--quiet", role, *options)
                process = site.spawn(*command, log=log, HEARTBEAT_FILE=heartbeat, **environment)
                children.append(Child(name=role, process=process, log=log, stop_timeout=30))

            status, _, _ = web.get("/shop/?parcel=ordered", X_Request_ID=request_id)

            assert status == 200
            for parcel in ("ordered", "scheduled"):
                processes.wait_until(lambda parcel=parcel: packed(tmp_path / "worker.log", parcel))  # type: ignore[misc]
            ((line,), (scheduled,)) = (packed(tmp_path / "worker.log", parcel) for parcel in ("ordered", "scheduled"))
            assert (line["request_id"], line["task"]) == (request_id, "shop.tasks.pack")
            assert "request_id" not in scheduled
            labels = {"task": "shop.tasks.pack"}
            name = "celery_task_duration_seconds_count"
            processes.wait_until(lambda: value(url, name, outcome="succeeded", **labels) == 2)
            assert value(url, "celery_beat_tasks_total", **labels) == 1
            processes.wait_until(lambda: value(url, "celery_tasks_waiting") == 0)
            for role in ("worker", "beat"):
                first = (tmp_path / role).stat().st_mtime
                processes.wait_until(lambda role=role, first=first: (tmp_path / role).stat().st_mtime > first)  # type: ignore[misc]
        finally:
            for child in children:
                child.stop()
        assert [child.process.returncode for child in children] == [0, 0]


def packed(log: Path, parcel: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "packed" and line["parcel"] == parcel]


IMPORTS = """
import importlib, pkgutil, sys, mainstay
names = {module.name for module in pkgutil.walk_packages(mainstay.__path__, "mainstay.", onerror=lambda name: None)}
names = {name for name in names if not name.startswith(("mainstay.celery", "mainstay.cache", "mainstay.storage"))}
import django; django.setup()
for name in names: importlib.import_module(name)
assert {"mainstay.gunicorn", "mainstay.health", "mainstay.wsgi", "mainstay.asgi", "mainstay.media"} <= names
print(sorted({"celery", "redis", "django_redis"} & set(sys.modules)))
"""


@pytest.mark.parametrize("driver", ["psycopg2-binary", "psycopg[binary]"])
def test_everything_else_works_without_celery_and_with_either_driver(
    wheel: Path, tmp_path: Path, postgres_server: Server, valkey_server: Server, driver: str
) -> None:
    with installed(wheel, tmp_path, driver) as site:
        assert site.output("-c", IMPORTS) == "[]\n"
        version = "from django.db.backends.postgresql.psycopg_any import is_psycopg3; print(is_psycopg3)"
        assert site.output("-c", version) == f"{driver == 'psycopg[binary]'}\n"
        assert site.output("manage.py", "wait_for_migrations") == "Every migration is applied.\n"

        with serving(site, SERVERS["gthread"], tmp_path / "web") as web, site.exporter(web.metrics) as url:
            assert requests.get(f"{web.url}/readyz", timeout=30).json()["checks"] == {"database": "ok"}
            assert requests.get(f"{web.url}/startupz", timeout=30).json()["checks"] == {"schema": "ok"}
            assert web.shop(X_Request_ID="without-celery")["users"] == 0
            (line,) = processes.wait_until(lambda: web.events("request"))
            assert line["request_id"] == "without-celery"
            labels = {"status": "200", "view": "shop", "method": "GET"}
            assert value(url, "django_http_responses_total_by_status_view_method_total", **labels) == 1
            with processes.frozen(postgres_server.process.pid):
                processes.wait_until(lambda: requests.get(f"{web.url}/readyz", timeout=30).status_code == 503)
                assert requests.get(f"{web.url}/livez", timeout=30).status_code == 200


# Each part alone, in the project as Django makes it: what is appended to the settings, what is run, what it prints.
PROBE = """
from wsgiref.util import setup_testing_defaults
environ = {"PATH_INFO": "/livez"}
setup_testing_defaults(environ)
print(application(environ, lambda status, headers: print(status)))
"""
CLIENT = """
django.setup()
from django.test import Client
print(Client().get("/none/", headers={"x-request-id": "alone-alone"}, SERVER_NAME="localhost").headers["X-Request-ID"])
"""
PARTS = {
    "wsgi": (
        "",
        f"from mainstay.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n{PROBE}",
        "200 OK",
    ),
    "asgi": ("", "from mainstay.asgi import get_asgi_application\nprint(get_asgi_application().__name__)", "answer"),
    "middleware": (
        "from mainstay import settings\nMIDDLEWARE = settings.middleware(MIDDLEWARE)",
        CLIENT,
        "alone-alone",
    ),
    "logging": (
        "from mainstay.logging import configure_logging\nLOGGING = configure_logging()",
        "import logging; django.setup(); logging.getLogger('shop').warning('hello')",
        '"event": "hello"',
    ),
    "app": (
        "INSTALLED_APPS = ['mainstay', *INSTALLED_APPS]",
        "from django.core.management import get_commands; django.setup(); print(get_commands()['migrate'])",
        "mainstay",
    ),
    "celery": (
        "",
        "from mainstay.celery import Celery; app = Celery('plain'); print(app.conf.beat_scheduler)",
        "mainstay",
    ),
    "database": (
        "from mainstay import settings\nDATABASES = {'default': settings.database('DATABASE_URL')}",
        "django.setup(); from django.db import connection; connection.ensure_connection(); print('up')",
        "up",
    ),
    "cache": (
        "from mainstay import settings\nCACHES = {'default': settings.cache('CELERY_BROKER_URL')}",
        "django.setup(); from django.core.cache import cache; cache.set('a', 1); print(cache.get('a'))",
        "1",
    ),
    "storages": (
        "from mainstay import settings\nSTORAGES = settings.storages(static=BASE_DIR / 'static')",
        "from django.templatetags.static import static; django.setup(); print(static('admin/css/base.css'))",
        "/static/admin/css/base.",
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_works_without_the_others(site: Site, part: str) -> None:
    settings, code, expected = PARTS[part]
    module = site.directory / f"only_{part}.py"
    startproject = (site.directory / "plain/settings.py").read_text().partition(plain_project.SETTINGS)[0]
    module.write_text(startproject + settings)

    output = site.output(
        "-c", f"import django\n{code}", DJANGO_SETTINGS_MODULE=module.stem, PROMETHEUS_MULTIPROC_DIR=""
    )

    assert expected in output


def test_a_frozen_cache_of_django_degrades_readyz_alone(
    settings: Settings, postgres_server: Server, valkey_server: Server
) -> None:
    # given Django's own Redis cache, which has no time limit
    location = servers.ENVIRONMENT["REDIS_URL"]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": location}}
    probe = PROBES["/readyz"]

    def checks() -> tuple[int, dict[str, str]]:
        status, body = Probe(probe.name, probe.checks).answer()
        return status, json.loads(body)["checks"]

    assert checks() == (200, {"database": "ok", "cache": "ok"})
    with processes.frozen(valkey_server.process.pid):
        degraded = [checks() for _ in range(2)]

    assert [(status, found["database"]) for status, found in degraded] == [(200, "ok")] * 2
    assert [found["cache"] == "ok" for _, found in degraded] == [False] * 2
    processes.wait_until(lambda: checks() == (200, {"database": "ok", "cache": "ok"}))


def test_the_configuration_of_gunicorn_works_alone(site: Site, tmp_path: Path) -> None:
    application = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    (site.directory / "django_alone.py").write_text(application)

    with serving(site, "gunicorn --config python:mainstay.gunicorn django_alone", tmp_path / "web") as web:
        assert web.shop()["users"] == 0
        assert web.get("/livez")[0] == 404
        assert requests.get(f"{web.url}/readyz", timeout=30).status_code == 200
