"""The chart's nginx.conf in the chart's nginx, and what nginx and Django must do alike.

The paths in the log are compared with mainstay.logging in tests/unit/test_logging.py.
"""

import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from mainstay.media import serve_media
from mainstay.middleware import observe
from tests.support.nginx import Nginx, Upstream, check, needs_docker, running
from tests.support.processes import wait_until
from tests.support.serving import LOGGED_PATHS, REQUEST_IDS, STATIC_SECONDS, UPLOAD_HEADERS, UPLOADS, Upload

HASHED = "main.0123456789ab.css"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nginx, Upstream]]:
    with running(tmp_path_factory.mktemp("nginx")) as both:
        yield both


@pytest.fixture
def nginx(server: tuple[Nginx, Upstream]) -> Nginx:
    return server[0]


@pytest.fixture
def upstream(server: tuple[Nginx, Upstream]) -> Upstream:
    return server[1]


def get(nginx: Nginx, path: str, **headers: str) -> requests.Response:
    return requests.get(nginx.url + path, headers=headers, timeout=30)


@needs_docker
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"static.path": ""},
        {"media.mode": "none"},
        {"media.mode": "s3", "media.s3.bucket": "uploads", "static.url": "/assets/", "nginx.trustedProxies": []},
    ],
    ids=str,
)
def test_configuration_is_valid(tmp_path: Path, values: dict[str, Any]) -> None:
    done = check(tmp_path, **values)

    assert "syntax is ok" in done.stderr, done.stderr
    assert "[warn]" not in done.stderr
    assert done.returncode == 0


# --- the connection to Gunicorn ------------------------------------------------------------------


@needs_docker
def test_connection_to_gunicorn_is_kept_and_closed_by_nginx_before_a_stopping_worker_would(
    nginx: Nginx, upstream: Upstream
) -> None:
    def kept() -> int | None:
        """The connection of three requests, unless the machine paused between them."""
        upstream.requests.clear()
        with requests.Session() as session:
            assert all(session.get(f"{nginx.url}/kept/", timeout=30).ok for _ in range(3))
        numbers = {number for number, _, path in upstream.requests if path == "/kept/"}
        return numbers.pop() if len(numbers) == 1 else None

    connection = wait_until(kept, "three requests on one connection")
    answered = time.monotonic()

    closed = wait_until(lambda: upstream.closed.get(connection), "nginx closes the connection", 10)
    assert closed - answered < 2


@needs_docker
@pytest.mark.parametrize(("method", "status", "attempts"), [("GET", 200, 2), ("POST", 502, 1)])
def test_only_idempotent_requests_are_resent(
    nginx: Nginx, upstream: Upstream, method: str, status: int, attempts: int
) -> None:
    def attempt() -> tuple[int, list[int]] | None:
        """The status, and the connections by which the request arrived; None if nginx had closed the kept one."""
        upstream.requests.clear()
        with requests.Session() as session:
            # given a kept connection
            session.get(f"{nginx.url}/before/{method}/", timeout=30)

            # when it closes as a request arrives
            path = f"/lost/{method}/{next(numbers)}/"
            upstream.lose.add(path)
            response = session.request(method, nginx.url + path, timeout=30)
        (before,) = [number for number, _, seen in upstream.requests if seen == f"/before/{method}/"]
        seen = [number for number, _, seen in upstream.requests if seen == path]
        return (response.status_code, seen) if seen[0] == before else None

    numbers = itertools.count()
    answered, connections = wait_until(attempt, "a request on the kept connection")

    # then only an idempotent request arrives again
    assert (answered, len(connections)) == (status, attempts)


# --- the access log --------------------------------------------------------------------------------


@needs_docker
def test_log_has_every_request_except_for_files_that_were_served(tmp_path: Path) -> None:
    with running(tmp_path) as (nginx, _):
        (tmp_path / "static" / HASHED).write_text("body {}")
        (tmp_path / "media/picture.png").write_bytes(b"picture")
        served = [f"/static/{HASHED}", "/media/picture.png"]
        logged = ["/page/", "/static/missing.css", "/media/missing.png", "/metrics", "/static/"]
        for path in [*served, *logged]:
            get(nginx, path, **{"X-Sibling": "1"})
        requests.put(f"{nginx.url}/media/picture.png", timeout=30)
        requests.post(f"{nginx.url}/too-large/", data=b"a" * 11_000_000, timeout=30)
        nginx.stop()

        lines = [(line["path"], line["status"]) for line in nginx.lines() if line["path"] != "/"]

    assert sorted(lines) == [
        ("/media/missing.png", 404),
        ("/media/picture.png", 405),
        ("/metrics", 404),
        ("/page/", 200),
        ("/static/", 404),
        ("/static/missing.css", 404),
        ("/too-large/", 413),
    ]


@needs_docker
def test_log_line_is_written_within_seconds(nginx: Nginx) -> None:
    get(nginx, "/seen/soon/")

    wait_until(lambda: "/seen/soon/" in [line["path"] for line in nginx.lines()], "the line", 3)


# --- the same in nginx and in Django ---------------------------------------------------------------


@needs_docker
def test_nginx_cuts_secrets_from_logged_paths(nginx: Nginx) -> None:
    for number, (path, _) in enumerate(LOGGED_PATHS):
        get(nginx, f"{path}?query={number}", **{"X-Request-ID": f"logged-path-{number}", "X-Sibling": "1"})

    def logged() -> dict[str, str]:
        return {line["request_id"]: line["path"] for line in nginx.lines() if "logged-path-" in line["request_id"]}

    wait_until(lambda: len(logged()) == len(LOGGED_PATHS), "the lines", 5)
    assert [logged()[f"logged-path-{number}"] for number in range(len(LOGGED_PATHS))] == [
        shown for _, shown in LOGGED_PATHS
    ]


@needs_docker
@pytest.mark.parametrize(("given", "accepted"), REQUEST_IDS)
def test_nginx_accepts_a_request_id(nginx: Nginx, given: str, accepted: bool) -> None:
    passed = get(nginx, "/", **{"X-Request-ID": given}).json()["X-Request-ID"]

    assert (passed == given) is accepted
    assert len(passed) == 32 or accepted


@pytest.mark.parametrize(("given", "accepted"), REQUEST_IDS)
def test_django_accepts_a_request_id(given: str, accepted: bool) -> None:
    request = RequestFactory().get("/", headers={"X-Request-ID": given})

    response = observe(lambda _: HttpResponse())(request)

    assert (response["X-Request-ID"] == given) is accepted


@needs_docker
@pytest.mark.parametrize("upload", UPLOADS, ids=lambda upload: upload.name)
def test_nginx_serves_an_upload(nginx: Nginx, upload: Upload) -> None:
    (nginx.folder / "media" / upload.name).write_bytes(b"upload")

    response = get(nginx, f"/media/{upload.name}")

    assert (response.status_code, response.content) == (200, b"upload")
    assert response.headers["Content-Type"] == upload.content_type
    assert response.headers["Content-Disposition"] == upload.disposition
    assert {name: response.headers[name] for name in UPLOAD_HEADERS} == UPLOAD_HEADERS


@pytest.mark.parametrize("upload", UPLOADS, ids=lambda upload: upload.name)
def test_django_serves_an_upload(settings: Settings, tmp_path: Path, upload: Upload) -> None:
    settings.MEDIA_ROOT = tmp_path
    (tmp_path / upload.name).write_bytes(b"upload")

    with closing(serve_media(RequestFactory().get("/"), upload.name)) as response:
        assert response["Content-Type"] == upload.content_type
        assert response["Content-Disposition"].partition(";")[0] == upload.disposition
        assert {name: response[name] for name in UPLOAD_HEADERS} == UPLOAD_HEADERS


@needs_docker
def test_nginx_caches_static_files_for_as_long_as_their_name_has_a_hash(nginx: Nginx) -> None:
    for name in (HASHED, "main.css"):
        (nginx.folder / "static" / name).write_text("body {}")

    assert get(nginx, f"/static/{HASHED}").headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert get(nginx, "/static/main.css").headers["Cache-Control"] == f"public, max-age={STATIC_SECONDS}"


def test_django_caches_static_files_without_a_hash_as_long() -> None:
    assert django_settings.WHITENOISE_MAX_AGE == STATIC_SECONDS
