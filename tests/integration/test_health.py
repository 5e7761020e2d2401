"""The probes of a real Gunicorn, with PostgreSQL and Valkey running, frozen, stopped or empty."""

import json
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
import requests

from devserver import valkey
from devserver.process import Server
from tests.support import commands, processes, servers
from tests.support.gunicorn import Gunicorn, database_url, gunicorn
from tests.support.ports import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def service() -> Iterator[Gunicorn]:
    with gunicorn(WEB_CONCURRENCY="1", GUNICORN_THREADS="2", DATABASE_URL=database_url_with_long_timeout()) as running:
        yield running


def database_url_with_long_timeout() -> str:
    """Returns a URL with which requests wait while the database is frozen. The service's own timeout is 5 s."""
    return f"{database_url()}?connect_timeout=60"


def get(url: str) -> tuple[int, dict[str, object], float]:
    """Returns the status, the JSON body and the duration in seconds."""
    started = time.monotonic()
    response = requests.get(url, timeout=60)
    return response.status_code, response.json(), time.monotonic() - started


def livez_is_fast(base: str) -> bool:
    """Returns whether 20 requests in a row each take less than 0.1 s. Tests wait for it: a machine can pause."""
    responses = [get(f"{base}/livez") for _ in range(20)]
    assert {status for status, _, _ in responses} == {200}
    return max(seconds for _, _, seconds in responses) < 0.1


def test_probes_respond_on_both_listeners_for_any_host_name(service: Gunicorn) -> None:
    for base in (service.url, service.health_url):
        for path in ("livez", "readyz", "startupz"):
            response = requests.get(f"{base}/{path}", headers={"Host": "10.0.0.7:8001"}, timeout=30)

            assert (path, response.status_code, response.json()["status"]) == (path, 200, "ok")
            assert (response.headers["Cache-Control"], response.headers["Content-Type"]) == (
                "no-store",
                "application/json",
            )


def test_health_listener_returns_404_for_other_paths(service: Gunicorn) -> None:
    for path in ("/", "/admin/", "/accounts/login/", "/livez/", "/nowhere"):
        assert (path, requests.get(f"{service.health_url}{path}", timeout=30).status_code) == (path, 404)
    assert requests.get(f"{service.url}/accounts/login/", timeout=30).status_code == 200


def test_readyz_reports_each_check(service: Gunicorn) -> None:
    assert get(f"{service.health_url}/readyz")[:2] == (
        200,
        {"status": "ok", "checks": {"database": "ok", "cache": "ok"}},
    )


def test_probes_respond_to_head_without_a_body_and_return_405_for_post(service: Gunicorn) -> None:
    head = requests.head(f"{service.url}/livez", timeout=30)
    post = requests.post(f"{service.url}/livez", timeout=30)

    assert (head.status_code, head.content) == (200, b"")
    assert (post.status_code, post.headers["Allow"]) == (405, "GET, HEAD")


def probes_respond_in_time(base: str) -> bool:
    """Returns whether 20 rounds in a row are fast while the database is frozen. Tests wait for it, as above."""
    failed = {"status": "failed", "checks": {"database": "Unavailable: no answer within 1 s", "cache": "ok"}}
    for _ in range(20):
        alive, _, alive_seconds = get(f"{base}/livez")
        ready, report, ready_seconds = get(f"{base}/readyz")
        assert (alive, ready) == (200, 503)
        if report != failed or alive_seconds >= 0.1 or ready_seconds >= 1.5:
            return False
        time.sleep(0.15)  # so that some requests run the checks and some get the cached result
    return True


def test_readyz_returns_503_while_postgres_is_frozen(service: Gunicorn, postgres_server: Server) -> None:
    get(f"{service.url}/readyz")
    worker = processes.children(service.process.pid)[0]
    before = processes.threads(worker)

    with processes.frozen(postgres_server.process.pid):
        # the first request can still get the cached result
        processes.wait_until(lambda: get(f"{service.url}/readyz")[0] == 503)
        processes.wait_until(lambda: probes_respond_in_time(service.url))
        during = processes.threads(worker)

    processes.wait_until(lambda: get(f"{service.url}/readyz")[0] == 200, seconds=5)
    # 2 threads for requests, 4 for the health listener, 2 for checks, which start on demand, and the main thread
    assert during <= max(before, 2 + 4 + 2 + 1)


def test_livez_returns_200_while_every_thread_waits_for_postgres(service: Gunicorn, postgres_server: Server) -> None:
    # given a worker with two threads, and a session cookie, for which the view queries the database
    cookie = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"}
    host = urlsplit(service.url).netloc

    with processes.frozen(postgres_server.process.pid):
        # when both threads wait for the database
        waiting = [HTTPConnection(host, timeout=60) for _ in range(2)]
        for connection in waiting:
            connection.request("GET", "/accounts/profile/", headers=cookie)
        with pytest.raises(requests.Timeout):
            processes.wait_until(lambda: requests.get(f"{service.url}/livez", timeout=0.5).status_code != 200)

        # then the health listener still responds
        processes.wait_until(lambda: livez_is_fast(service.health_url))

    # and the requests complete
    assert [connection.getresponse().status for connection in waiting] == [302, 302]
    for connection in waiting:
        connection.close()


def test_readyz_discloses_no_part_of_the_database_url() -> None:
    with gunicorn(DATABASE_URL="postgres://secretuser:secretpassword@127.0.0.1:1/secretname") as service:
        status, report, _ = get(f"{service.health_url}/readyz")

    assert (status, report["checks"]) == (503, {"database": "Unavailable: no connection", "cache": "ok"})
    assert "secret" not in json.dumps(report)
    assert "secretpassword" not in service.log.read_text()


def test_readyz_returns_200_and_degraded_without_valkey() -> None:
    with gunicorn(REDIS_URL="redis://127.0.0.1:1/0") as service:
        status, report, _ = get(f"{service.health_url}/readyz")

    assert (status, report) == (
        200,
        {"status": "degraded", "checks": {"database": "ok", "cache": "Warning: no answer"}},
    )


@pytest.fixture
def empty_database(postgres_server: Server) -> Iterator[str]:
    """The URL of a database without any migration applied."""
    base, _, _ = servers.ENVIRONMENT["DATABASE_URL"].rpartition("/")
    connection = psycopg2.connect(f"{base}/postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE empty")
    yield f"{base}/empty"
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE empty WITH (FORCE)")
    connection.close()


def test_startupz_returns_503_until_all_migrations_are_applied(empty_database: str) -> None:
    with gunicorn(DATABASE_URL=empty_database) as service:
        status, report, _ = get(f"{service.health_url}/startupz")
        assert (status, report["checks"]) == (503, {"schema": "Unavailable: no migration is applied"})

        # when some migrations are applied
        assert commands.run("migrate", "accounts", DATABASE_URL=empty_database)[0] == 0
        processes.wait_until(
            lambda: "migrations are not applied, first admin" in str(get(f"{service.health_url}/startupz")[1])
        )
        assert get(f"{service.health_url}/startupz")[0] == 503

        # when all migrations are applied
        assert commands.run("migrate", DATABASE_URL=empty_database)[0] == 0
        processes.wait_until(lambda: get(f"{service.health_url}/startupz")[0] == 200)


def test_wait_for_migrations_prints_each_state_once_and_exits_when_applied(empty_database: str) -> None:
    waiting = commands.start("wait_for_migrations", DATABASE_URL=empty_database)
    assert waiting.stdout
    assert waiting.stdout.readline() == "Waiting: database: no migration is applied.\n"

    assert commands.run("migrate", DATABASE_URL=empty_database)[0] == 0

    rest = waiting.communicate(timeout=20)[0].splitlines()
    assert (waiting.returncode, rest[-1]) == (0, "Every migration is applied.")
    assert len(rest) == len(set(rest))


def test_wait_for_migrations_fails_with_the_reason_after_its_timeout() -> None:
    status, output = commands.run("wait_for_migrations", "--timeout", "1", DATABASE_URL="postgres://u:p@127.0.0.1:1/n")

    assert status == 1
    assert output.splitlines() == [
        "Waiting: database: no connection.",
        "CommandError: Gave up after 1 s: database: no connection. Read the log of the migration Job.",
    ]


def test_concurrent_probes_share_one_check(service: Gunicorn, postgres_server: Server) -> None:
    with processes.frozen(postgres_server.process.pid):
        started = time.monotonic()
        statuses: list[int] = []
        clients = [
            threading.Thread(target=lambda: statuses.append(get(f"{service.health_url}/readyz")[0])) for _ in range(8)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    assert statuses == [503] * 8
    assert time.monotonic() - started < 5  # about 1 s; 8 s if each request ran its own check


def submit(client: requests.Session, url: str, **fields: str) -> requests.Response:
    """Submits the form of a page with its CSRF token and follows the redirect."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(url, timeout=60).text)
    assert token
    return client.post(url, {"csrfmiddlewaretoken": token[1], **fields}, timeout=60)


PASSWORD = "korrekt pferd 9"


def sign_up_and_log_in(client: requests.Session, url: str, name: str) -> None:
    login, fields = f"{url}/accounts/login/", {"email": f"{name}@example.org", "password1": PASSWORD}
    assert submit(client, f"{url}/accounts/sign-up/", username=name, password2=PASSWORD, **fields).url == login
    assert submit(client, login, username=name, password=PASSWORD).url == f"{url}/accounts/profile/"


def test_pages_login_and_sessions_work_without_valkey(tmp_path: Path) -> None:
    server = valkey.start(tmp_path / "valkey", free_port(), durable=False)
    with gunicorn(REDIS_URL=server.url) as service, requests.Session() as early, requests.Session() as late:
        login, profile = f"{service.url}/accounts/login/", f"{service.url}/accounts/profile/"
        # given a user who logged in while Valkey was running
        sign_up_and_log_in(early, service.url, "ada")

        server.stop()
        processes.wait_until(lambda: get(f"{service.url}/readyz")[1]["status"] == "degraded")

        # then the session is still valid, the user can start another session, and a form is saved
        assert early.get(profile, timeout=10).url == profile
        assert submit(late, login, username="ada", password=PASSWORD).url == profile
        assert "Countess" in submit(late, profile, display_name="Countess").text
        assert requests.get(service.url, timeout=10).status_code == 200
        assert get(f"{service.url}/readyz")[0] == 200


class NotRedis(socketserver.BaseRequestHandler):
    """Responds to any request as an HTTP server does."""

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_pages_login_and_sessions_work_if_another_server_replaces_valkey() -> None:
    with (
        servers.serving(NotRedis) as port,
        gunicorn(REDIS_URL=f"redis://127.0.0.1:{port}/0") as service,
        requests.Session() as session,
    ):
        sign_up_and_log_in(session, service.url, "grace")

        page = session.get(f"{service.url}/accounts/profile/", timeout=10)
        status, report, _ = get(f"{service.health_url}/readyz")

    assert (page.status_code, page.url) == (200, f"{service.url}/accounts/profile/")
    assert (status, report["checks"]) == (200, {"database": "ok", "cache": "Warning: no answer"})


def test_livez_returns_200_while_no_worker_accepts_connections(postgres_server: Server) -> None:
    # given more waiting requests than the worker accepts connections
    headers = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345", "Connection": "close"}
    limits = {"WEB_CONCURRENCY": "1", "GUNICORN_THREADS": "2", "GUNICORN_CMD_ARGS": "--worker-connections 10"}
    with gunicorn(DATABASE_URL=database_url_with_long_timeout(), **limits) as service:
        with processes.frozen(postgres_server.process.pid):
            waiting = [HTTPConnection(urlsplit(service.url).netloc, timeout=60) for _ in range(12)]
            for connection in waiting:
                connection.request("GET", "/accounts/profile/", headers=headers)

            processes.wait_until(lambda: livez_is_fast(service.health_url))

        assert [connection.getresponse().status for connection in waiting] == [302] * 12
        for connection in waiting:
            connection.close()


def test_sigterm_terminates_wait_for_migrations() -> None:
    waiting = commands.start("wait_for_migrations", DATABASE_URL="postgres://u:p@127.0.0.1:1/n")
    assert waiting.stdout
    assert waiting.stdout.readline().startswith("Waiting: ")

    waiting.terminate()

    waiting.communicate(timeout=30)
    assert waiting.returncode == 143
