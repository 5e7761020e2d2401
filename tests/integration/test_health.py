"""The three probes of a real Gunicorn, with its servers frozen, stopped and empty."""

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
    with gunicorn(WEB_CONCURRENCY="1", GUNICORN_THREADS="2", DATABASE_URL=patient_url()) as running:
        yield running


def patient_url() -> str:
    """The database's, for requests that wait as long as it is frozen; the service itself gives up after 5 s."""
    return f"{database_url()}?connect_timeout=60"


def answer(url: str) -> tuple[int, dict[str, object], float]:
    """Status, JSON and seconds."""
    started = time.monotonic()
    response = requests.get(url, timeout=60)
    return response.status_code, response.json(), time.monotonic() - started


def livez_is_quick(base: str) -> bool:
    """Twenty times in a row: waited for, since one may meet a pause of the machine; where it waits it never is."""
    answers = [answer(f"{base}/livez") for _ in range(20)]
    assert {status for status, _, _ in answers} == {200}
    return max(seconds for _, _, seconds in answers) < 0.1


def test_probes_answer_on_both_listeners_without_a_known_host(service: Gunicorn) -> None:
    for base in (service.url, service.health_url):
        for path in ("livez", "readyz", "startupz"):
            response = requests.get(f"{base}/{path}", headers={"Host": "10.0.0.7:8001"}, timeout=30)

            assert (path, response.status_code, response.json()["status"]) == (path, 200, "ok")
            assert (response.headers["Cache-Control"], response.headers["Content-Type"]) == (
                "no-store",
                "application/json",
            )


def test_the_health_address_answers_nothing_but_the_probes(service: Gunicorn) -> None:
    for path in ("/", "/admin/", "/accounts/login/", "/livez/", "/nowhere"):
        assert (path, requests.get(f"{service.health_url}{path}", timeout=30).status_code) == (path, 404)
    assert requests.get(f"{service.url}/accounts/login/", timeout=30).status_code == 200


def test_readyz_names_its_checks(service: Gunicorn) -> None:
    assert answer(f"{service.health_url}/readyz")[:2] == (
        200,
        {"status": "ok", "checks": {"database": "ok", "cache": "ok"}},
    )


def test_probes_answer_head_without_a_body_and_refuse_post(service: Gunicorn) -> None:
    head = requests.head(f"{service.url}/livez", timeout=30)
    post = requests.post(f"{service.url}/livez", timeout=30)

    assert (head.status_code, head.content) == (200, b"")
    assert (post.status_code, post.headers["Allow"]) == (405, "GET, HEAD")


def probes_answer_in_time(base: str) -> bool:
    """Twenty times in a row while the database is frozen; waited for as `livez_is_quick` is."""
    failed = {"status": "failed", "checks": {"database": "Unavailable: no answer within 1 s", "cache": "ok"}}
    for _ in range(20):
        alive, _, alive_seconds = answer(f"{base}/livez")
        ready, report, ready_seconds = answer(f"{base}/readyz")
        assert (alive, ready) == (200, 503)
        if report != failed or alive_seconds >= 0.1 or ready_seconds >= 1.5:
            return False
        time.sleep(0.15)  # the time between probes, so that some ask anew and some get the answer that is kept
    return True


def test_readyz_is_503_within_its_limit_while_postgres_is_frozen(service: Gunicorn, postgres_server: Server) -> None:
    answer(f"{service.url}/readyz")
    worker = processes.children(service.process.pid)[0]
    before = processes.threads(worker)

    with processes.frozen(postgres_server.process.pid):
        # until the answer from before is too old to be given again
        processes.wait_until(lambda: answer(f"{service.url}/readyz")[0] == 503)
        processes.wait_until(lambda: probes_answer_in_time(service.url))
        during = processes.threads(worker)

    processes.wait_until(lambda: answer(f"{service.url}/readyz")[0] == 200, seconds=5)
    # the pools' threads are made as they are needed: 2 for requests, 4 for health, 2 for checks, and the main one
    assert during <= max(before, 2 + 4 + 2 + 1)


def test_livez_answers_while_every_thread_waits_for_postgres(service: Gunicorn, postgres_server: Server) -> None:
    # given two threads, a session that needs the database
    cookie = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"}
    host = urlsplit(service.url).netloc

    with processes.frozen(postgres_server.process.pid):
        # when each thread waits for a database that does not answer
        waiting = [HTTPConnection(host, timeout=60) for _ in range(2)]
        for connection in waiting:
            connection.request("GET", "/accounts/profile/", headers=cookie)
        with pytest.raises(requests.Timeout):
            processes.wait_until(lambda: requests.get(f"{service.url}/livez", timeout=0.5).status_code != 200)

        # then the kubelet's listener still answers
        processes.wait_until(lambda: livez_is_quick(service.health_url))

    # and the requests end
    assert [connection.getresponse().status for connection in waiting] == [302, 302]
    for connection in waiting:
        connection.close()


def test_readyz_says_nothing_of_the_database_but_that_it_is_gone() -> None:
    with gunicorn(DATABASE_URL="postgres://secretuser:secretpassword@127.0.0.1:1/secretname") as service:
        status, report, _ = answer(f"{service.health_url}/readyz")

    assert (status, report["checks"]) == (503, {"database": "Unavailable: no connection", "cache": "ok"})
    assert "secret" not in json.dumps(report)
    assert "secretpassword" not in service.log.read_text()


def test_readyz_stays_200_and_says_degraded_without_a_cache() -> None:
    with gunicorn(REDIS_URL="redis://127.0.0.1:1/0") as service:
        status, report, _ = answer(f"{service.health_url}/readyz")

    assert (status, report) == (
        200,
        {"status": "degraded", "checks": {"database": "ok", "cache": "Warning: no answer"}},
    )


@pytest.fixture
def empty_database(postgres_server: Server) -> Iterator[str]:
    """The URL of a database in which nothing was migrated."""
    base, _, _ = servers.ENVIRONMENT["DATABASE_URL"].rpartition("/")
    connection = psycopg2.connect(f"{base}/postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE empty")
    yield f"{base}/empty"
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE empty WITH (FORCE)")
    connection.close()


def test_startupz_is_503_until_the_schema_is_at_the_image_s(empty_database: str) -> None:
    with gunicorn(DATABASE_URL=empty_database) as service:
        status, report, _ = answer(f"{service.health_url}/startupz")
        assert (status, report["checks"]) == (503, {"schema": "Unavailable: no migration is applied"})

        # when half of it is migrated
        assert commands.run("migrate", "accounts", DATABASE_URL=empty_database)[0] == 0
        processes.wait_until(
            lambda: "migrations are not applied, first admin" in str(answer(f"{service.health_url}/startupz")[1])
        )
        assert answer(f"{service.health_url}/startupz")[0] == 503

        # when all of it is
        assert commands.run("migrate", DATABASE_URL=empty_database)[0] == 0
        processes.wait_until(lambda: answer(f"{service.health_url}/startupz")[0] == 200)


def test_wait_for_migrations_says_each_state_once_and_ends_when_another_has_migrated(empty_database: str) -> None:
    waiting = commands.start("wait_for_migrations", DATABASE_URL=empty_database)
    assert waiting.stdout
    assert waiting.stdout.readline() == "Waiting: database: no migration is applied.\n"

    assert commands.run("migrate", DATABASE_URL=empty_database)[0] == 0

    rest = waiting.communicate(timeout=20)[0].splitlines()
    assert (waiting.returncode, rest[-1]) == (0, "Every migration is applied.")
    assert len(rest) == len(set(rest))


def test_wait_for_migrations_gives_up_and_says_for_what() -> None:
    status, output = commands.run("wait_for_migrations", "--timeout", "1", DATABASE_URL="postgres://u:p@127.0.0.1:1/n")

    assert status == 1
    assert output.splitlines() == [
        "Waiting: database: no connection.",
        "CommandError: Gave up after 1 s: database: no connection. Read the log of the migration Job.",
    ]


def test_probers_at_the_same_time_cost_one_check(service: Gunicorn, postgres_server: Server) -> None:
    with processes.frozen(postgres_server.process.pid):
        started = time.monotonic()
        statuses: list[int] = []
        probers = [
            threading.Thread(target=lambda: statuses.append(answer(f"{service.health_url}/readyz")[0]))
            for _ in range(8)
        ]
        for prober in probers:
            prober.start()
        for prober in probers:
            prober.join()

    assert statuses == [503] * 8
    assert time.monotonic() - started < 5  # a second; eight if each has a check of its own


def submit(client: requests.Session, url: str, **fields: str) -> requests.Response:
    """Fills a page's form and follows the answer."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(url, timeout=60).text)
    assert token
    return client.post(url, {"csrfmiddlewaretoken": token[1], **fields}, timeout=60)


PASSWORD = "korrekt pferd 9"


def join(client: requests.Session, url: str, name: str) -> None:
    """Signs up and logs in."""
    login, fields = f"{url}/accounts/login/", {"email": f"{name}@example.org", "password1": PASSWORD}
    assert submit(client, f"{url}/accounts/sign-up/", username=name, password2=PASSWORD, **fields).url == login
    assert submit(client, login, username=name, password=PASSWORD).url == f"{url}/accounts/profile/"


def test_pages_login_and_sessions_go_on_without_valkey(tmp_path: Path) -> None:
    server = valkey.start(tmp_path / "valkey", free_port(), durable=False)
    with gunicorn(REDIS_URL=server.url) as service, requests.Session() as early, requests.Session() as late:
        login, profile = f"{service.url}/accounts/login/", f"{service.url}/accounts/profile/"
        # given someone who signed up and logged in while Valkey was there
        join(early, service.url, "ada")

        server.stop()
        processes.wait_until(lambda: answer(f"{service.url}/readyz")[1]["status"] == "degraded")

        # then that session goes on, another begins, and what a form changes is kept
        assert early.get(profile, timeout=10).url == profile
        assert submit(late, login, username="ada", password=PASSWORD).url == profile
        assert "Countess" in submit(late, profile, display_name="Countess").text
        assert requests.get(service.url, timeout=10).status_code == 200
        assert answer(f"{service.url}/readyz")[0] == 200


class Stranger(socketserver.BaseRequestHandler):
    """Answers whatever it is asked as a web server."""

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_pages_login_and_sessions_go_on_where_a_stranger_answers_for_valkey() -> None:
    with (
        servers.serving(Stranger) as port,
        gunicorn(REDIS_URL=f"redis://127.0.0.1:{port}/0") as service,
        requests.Session() as session,
    ):
        join(session, service.url, "grace")

        page = session.get(f"{service.url}/accounts/profile/", timeout=10)
        status, report, _ = answer(f"{service.health_url}/readyz")

    assert (page.status_code, page.url) == (200, f"{service.url}/accounts/profile/")
    assert (status, report["checks"]) == (200, {"database": "ok", "cache": "Warning: no answer"})


def test_livez_answers_while_no_worker_takes_another_request(postgres_server: Server) -> None:
    # given as many connections as the worker takes, each waiting for a database that does not answer
    headers = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345", "Connection": "close"}
    limits = {"WEB_CONCURRENCY": "1", "GUNICORN_THREADS": "2", "GUNICORN_CMD_ARGS": "--worker-connections 10"}
    with gunicorn(DATABASE_URL=patient_url(), **limits) as service:
        with processes.frozen(postgres_server.process.pid):
            waiting = [HTTPConnection(urlsplit(service.url).netloc, timeout=60) for _ in range(12)]
            for connection in waiting:
                connection.request("GET", "/accounts/profile/", headers=headers)

            processes.wait_until(lambda: livez_is_quick(service.health_url))

        assert [connection.getresponse().status for connection in waiting] == [302] * 12
        for connection in waiting:
            connection.close()


def test_sigterm_ends_a_command_that_waits() -> None:
    waiting = commands.start("wait_for_migrations", DATABASE_URL="postgres://u:p@127.0.0.1:1/n")
    assert waiting.stdout
    assert waiting.stdout.readline().startswith("Waiting: ")

    waiting.terminate()

    waiting.communicate(timeout=30)
    assert waiting.returncode == 143
