"""Malformed requests, errors, the headers of responses, media, and requests to a real Gunicorn."""

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as service_settings
from django.contrib import messages
from django.contrib.auth.tokens import default_token_generator
from django.core.files.base import ContentFile
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from prometheus_client import REGISTRY
from psycopg2.sql import SQL, Literal
from pytest_django import Settings

from mainstay import database, request_id
from service.accounts.models import Profile, User
from tests.support.gunicorn import Gunicorn, gunicorn
from tests.support.processes import wait_until
from tests.unit.test_pictures import encode

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queue"), pytest.mark.urls(__name__)]

LOGIN = reverse("accounts:login")
PROFILE = reverse("accounts:profile")
LIMIT = 4 * 1024 * 1024


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("internal detail")


def statement(request: HttpRequest) -> HttpResponse:
    """Returns its own SQL statement as the database received it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        return HttpResponse(cursor.fetchone()[0])


def redirect_with_message(request: HttpRequest) -> HttpResponse:
    messages.success(request, "Message before the redirect.")
    return HttpResponse(status=302, headers={"Location": "/there/"})


urlpatterns = [
    path("broken/", broken),
    path("statement/", statement),
    path("redirect/", redirect_with_message),
    path("", include("service.urls")),
]


def assert_no_internals(page: str) -> None:
    """The page is one of the error templates, without a traceback or a setting."""
    assert "Mainstay</title>" in page
    for detail in ("Traceback", "RuntimeError", "internal detail", "service.urls", "INSTALLED_APPS", "DEBUG"):
        assert detail not in page
    for secret in (service_settings.SECRET_KEY, service_settings.DATABASES["default"]["PASSWORD"]):
        assert secret not in page


# --- rejected requests ---------------------------------------------------------------------------


def test_unknown_host_gets_the_error_page_without_details(client: Client) -> None:
    response = client.get("/", headers={"host": "evil.example"})

    assert response.status_code == 400
    page = response.content.decode()
    assert "Bad request" in page
    assert "evil.example" not in page
    assert_no_internals(page)


def test_unknown_method_returns_501(client: Client) -> None:
    response = client.generic("BREW", "/")

    assert (response.status_code, response.content, response["Content-Type"]) == (
        501,
        b"Unknown method.\n",
        "text/plain",
    )


@pytest.mark.parametrize("length", [str(10 * 1024 * 1024), str(LIMIT + 1), "-1", "many", "1.5", "²"])
def test_body_with_invalid_or_too_large_content_length_returns_413_without_being_read(
    client: Client, length: str
) -> None:
    response = client.post(LOGIN, {"username": "ada", "password": "x"}, headers={"content-length": length})

    assert response.status_code == 413
    page = response.content.decode()
    assert "A request can contain at most 4 MB. Nothing has been saved." in page
    assert_no_internals(page)


def test_body_of_exactly_the_limit_is_accepted(client: Client) -> None:
    head = b"username=ada&password=x&rest="
    body = head + b"a" * (LIMIT - len(head))

    response = client.post("/", body, content_type="text/plain")

    assert response.status_code == 405  # from the view, which accepts no POST


def test_form_without_csrf_token_gets_the_error_page() -> None:
    response = Client(enforce_csrf_checks=True).post(LOGIN, {"username": "ada", "password": "x"})

    assert response.status_code == 403
    assert b"The form has expired" in response.content
    assert_no_internals(response.content.decode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sessionid", "garbage"),
        ("sessionid", "x" * 4000),
        ("sessionid", "../../../etc/passwd"),
        ("sessionid", '"nul\\000nul\\000nul"'),
        ("messages", "[[not json"),
        ("messages", '{"half": '),
        ("messages", "bm90IGpzb24:signature:forged"),
        ("messages", '"nul\\000"'),
        ("csrftoken", "short"),
        ("csrftoken", "<script>alert(1)</script>"),
        ("csrftoken", '"nul\\000"'),
        ("theme", '"><script>alert(1)</script>'),
        ("theme", '"nul\\000"'),
        ("preferences", '{"json": [1, 2'),
    ],
)
def test_malformed_cookie_is_ignored(client: Client, name: str, value: str) -> None:
    response = client.get(LOGIN, headers={"cookie": f"{name}={value}"})

    assert response.status_code == 200
    page = response.content.decode()
    assert '<html lang="en">' in page
    assert "alert(1)" not in page
    assert response.context["user"].is_authenticated is False


@pytest.mark.parametrize(
    "address",
    [
        f"{LOGIN}?next=%00",
        "/admin/accounts/mail/?state__exact=%00",
        "/admin/autocomplete/?app_label=accounts&model_name=profile&field_name=user&term=a%00",
    ],
)
def test_nul_in_the_query_string_returns_400(client: Client, address: str) -> None:
    client.force_login(User.objects.create_superuser("root"))

    response = client.get(address)

    assert response.status_code == 400
    assert_no_internals(response.content.decode())


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_theme_cookie_sets_the_theme(client: Client, theme: str) -> None:
    client.cookies["theme"] = theme

    assert f'<html lang="en" data-theme="{theme}">' in client.get("/").content.decode()


# --- errors --------------------------------------------------------------------------------------


def test_exception_in_a_view_gets_the_error_page_and_is_logged(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.raise_request_exception = False

    response = client.get("/broken/")

    assert response.status_code == 500
    assert "Server error" in response.content.decode()
    assert_no_internals(response.content.decode())
    assert re.fullmatch("[0-9a-f]{32}", response["X-Request-ID"])
    (logged,) = [record for record in caplog.records if record.name == "django.request"]
    assert logged.exc_info
    assert str(logged.exc_info[1]) == "internal detail"


@pytest.mark.parametrize("address", ["/no/such/page/", "/accounts/", "/admin.php", "/%00", "/%ff"])
def test_unknown_path_gets_the_error_page(client: Client, address: str) -> None:
    response = client.get(address)

    assert response.status_code == 404
    assert "Page not found" in response.content.decode()
    assert_no_internals(response.content.decode())


# --- headers and request ids ---------------------------------------------------------------------


@pytest.mark.parametrize("given", ["4f9c2b1e-77aa", "A_1-" * 16])
def test_valid_request_id_is_returned(client: Client, given: str) -> None:
    assert client.get("/", headers={"x-request-id": given})["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "short", "a" * 65, "*/ DROP TABLE auth_user; /*", "a b c d e f", "äöüäöüäö"])
def test_invalid_request_id_is_replaced(client: Client, given: str) -> None:
    ids = [client.get("/", headers={"x-request-id": given})["X-Request-ID"] for _ in range(2)]

    assert all(re.fullmatch("[0-9a-f]{32}", request_id) for request_id in ids)
    assert ids[0] != ids[1]


def test_sql_statement_contains_the_request_id(client: Client) -> None:
    response = client.get("/statement/", headers={"x-request-id": "seen-by-postgres"})

    assert response.content.decode() == (
        "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() /* request_id=seen-by-postgres */"
    )


def test_composed_statement_is_executed_with_a_request_id() -> None:
    with request_id.bound("composed-statement"), connection.cursor() as cursor:
        cursor.execute(SQL("SELECT {}").format(Literal(7)))

        assert cursor.fetchone() == (7,)


@pytest.mark.django_db(transaction=True)
def test_wrapper_of_a_block_ends_with_it_if_the_block_opens_the_connection() -> None:
    seen: list[str] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    other = connection.copy()
    with closing(other):
        with other.execute_wrapper(wrapper), other.cursor() as cursor:
            cursor.execute("SELECT 1")
        with request_id.bound("after-the-block"), other.cursor() as cursor:
            cursor.execute("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")

            assert cursor.fetchone()[0].endswith("/* request_id=after-the-block */")
    assert seen == ["SELECT 1"]


@pytest.mark.django_db(transaction=True)
def test_query_of_a_probe_survives_the_end_of_its_kept_connection() -> None:
    ((kept,),) = database.query("SELECT pg_backend_pid()")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [kept])

    ((other,),) = database.query("SELECT pg_backend_pid()")

    assert other != kept


def queue_time() -> tuple[float, float]:
    """Returns the count and the sum of the observed queue times."""
    count, total = (REGISTRY.get_sample_value(f"http_request_queue_seconds_{name}") for name in ("count", "sum"))
    assert count is not None
    assert total is not None
    return count, total


@pytest.mark.parametrize("prefix", ["t=", ""])
def test_queue_time_is_observed(client: Client, prefix: str) -> None:
    count, total = queue_time()

    client.get("/", headers={"x-request-start": f"{prefix}{time.time() - 5:.3f}"})

    after = queue_time()
    assert after[0] == count + 1
    assert 5 <= after[1] - total < 15


@pytest.mark.parametrize("given", ["", "t=", "yesterday", "t=nan", "t=inf", "t=-inf", "t=0", "t=99999999999"])
def test_invalid_queue_time_is_not_observed(client: Client, given: str) -> None:
    before = queue_time()

    assert client.get("/", headers={"x-request-start": given}).status_code == 200

    assert queue_time() == before


def test_security_headers_of_a_page(client: Client) -> None:
    response = client.get("/")

    assert sorted(response["Content-Security-Policy"].split("; ")) == [
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
    ]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert not re.search(r"<script(?! src=)| style=|<style| on[a-z]+=", response.content.decode())


def test_htmx_redirect_becomes_hx_redirect_and_keeps_cookies(client: Client) -> None:
    response = client.get("/redirect/", headers={"hx-request": "true"})

    assert (response.status_code, response["HX-Redirect"], response.content) == (204, "/there/", b"")
    assert "Location" not in response
    assert "Message before the redirect." in client.get("/").content.decode()  # the cookie contained it
    assert response.cookies["messages"].value


def test_htmx_login_keeps_the_session(client: Client) -> None:
    User.objects.create_user("ada", password="correct-horse-7")

    response = client.post(LOGIN, {"username": "ada", "password": "correct-horse-7"}, headers={"hx-request": "true"})

    assert (response.status_code, response["HX-Redirect"]) == (204, PROFILE)
    assert response.cookies["sessionid"]["httponly"] is True
    assert client.get(PROFILE).status_code == 200


def test_redirect_without_htmx_is_unchanged(client: Client) -> None:
    response = client.get("/redirect/")

    assert (response.status_code, response["Location"]) == (302, "/there/")
    assert "HX-Redirect" not in response


# --- media ---------------------------------------------------------------------------------------


@pytest.fixture
def media(settings: Settings) -> Path:
    folder = Path(settings.MEDIA_ROOT)
    (folder / "pictures").mkdir(parents=True)
    return folder


def test_uploaded_picture_is_displayed_inline_and_sandboxed(client: Client, media: Path) -> None:
    (media / "pictures/me.webp").write_bytes(encode("WEBP"))

    response: Any = client.get("/media/pictures/me.webp")

    assert (response.status_code, b"".join(response.streaming_content)) == (200, encode("WEBP"))
    assert {name: response.get(name) for name in (*MEDIA_HEADERS, "Content-Disposition")} == {
        **MEDIA_HEADERS,
        "Content-Type": "image/webp",
        "Content-Disposition": 'inline; filename="me.webp"',
    }


MEDIA_HEADERS = {
    "Content-Type": "application/octet-stream",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "private, max-age=3600",
}


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "script.js", "noname"])
def test_other_upload_is_sent_as_attachment(client: Client, media: Path, name: str) -> None:
    (media / name).write_text("<script>alert(1)</script>")

    response: Any = client.get(f"/media/{name}")

    assert response.status_code == 200
    assert {header: response.get(header) for header in (*MEDIA_HEADERS, "Content-Disposition")} == {
        **MEDIA_HEADERS,
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    response.close()


@pytest.mark.parametrize(
    "name",
    [
        "pictures/missing.webp",
        "pictures",
        "../outside.txt",
        "pictures/../../outside.txt",
        "%2e%2e/outside.txt",
        "..%2foutside.txt",
        "/outside.txt",
        "%2Fetc/passwd",
        "nul%00.webp",
        "a" * 300,
    ],
)
def test_path_that_is_not_an_upload_returns_404(client: Client, media: Path, name: str) -> None:
    (media.parent / "outside.txt").write_text("not yours")

    response = client.get(f"/media/{name}")

    assert response.status_code == 404
    assert b"not yours" not in response.content
    assert_no_internals(response.content.decode())


def test_media_returns_404_if_a_bucket_is_configured(client: Client, media: Path, settings: Settings) -> None:
    (media / "pictures/me.webp").write_bytes(encode("WEBP"))
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "storages.backends.s3.S3Storage"}}

    assert client.get("/media/pictures/me.webp").status_code == 404


# --- through a real Gunicorn ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[Gunicorn]:
    with gunicorn(WEB_CONCURRENCY="1") as server:
        yield server


def connect(server: Gunicorn) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def get(server: Gunicorn, target: str, **headers: str) -> http.client.HTTPResponse:
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)) as client:
        client.request("GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = client.getresponse()
        response.read()
        return response


def log_events(server: Gunicorn, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def worker_starts(server: Gunicorn) -> int:
    return server.log.read_text().count("Booting worker")


def test_gunicorn_returns_413_for_a_body_of_10_mb_and_closes_the_connection(server: Gunicorn) -> None:
    before = worker_starts(server)
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {10 * 1024 * 1024}\r\n\r\n".encode()
    with connect(server) as client:
        client.sendall(head)

        response = client.recv(65536)

        assert response.startswith(b"HTTP/1.1 413 ")
        with suppress(ConnectionError):  # the server stops reading at some point
            for _ in range(160):
                client.sendall(bytes(65536))
        with suppress(ConnectionError):
            while part := client.recv(65536):
                response += part
        # The connection is closed, and the body was not parsed as a second request.
        assert response.count(b"HTTP/1.1 ") == 1

    assert get(server, "/").status == 200
    assert worker_starts(server) == before == 1


def form(kind: str) -> tuple[str, bytes]:
    """Returns the content type and body of a complete profile form; the name or the picture is the last field."""
    token = "a" * 32
    if kind == "urlencoded":
        fields = f"csrfmiddlewaretoken={token}&display_name=Somebody+Else+Altogether"
        return "application/x-www-form-urlencoded", fields.encode()
    parts = [f'name="csrfmiddlewaretoken"\r\n\r\n{token}'.encode()]
    if kind == "picture":
        picture = encode("PNG", (500, 500))
        parts += [b'name="display_name"\r\n\r\nMallory', b'name="picture"; filename="me.png"\r\n\r\n' + picture]
    else:
        parts += [b'name="display_name"\r\n\r\nSomebody Else Altogether']
    body = b"".join(b"--frontier\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
    return "multipart/form-data; boundary=frontier", body + b"--frontier--\r\n"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["urlencoded", "multipart", "picture"])
def test_incomplete_upload_changes_nothing(server: Gunicorn, client: Client, kind: str) -> None:
    user = User.objects.create_user("ada")
    profile = Profile.objects.create(user=user, display_name="Ada")
    profile.picture.save("me.webp", ContentFile(encode("WEBP")))
    client.force_login(user)
    content_type, body = form(kind)
    cut = len(body) - {"urlencoded": 10, "multipart": 25, "picture": 400}[kind]
    request_id = f"truncated-{kind}"
    head = (
        f"POST {PROFILE} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: {request_id}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Cookie: csrftoken={'a' * 32}; sessionid={client.cookies['sessionid'].value}\r\n\r\n"
    ).encode()

    with connect(server) as connected:
        connected.sendall(head + body[:cut])
        connected.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while connected.recv(65536):
                pass
    lines = wait_until(lambda: [each for each in log_events(server, "request") if each["request_id"] == request_id])

    assert [(line["path"], line["status"]) for line in lines] == [(PROFILE, 403)]
    after = Profile.objects.get()
    assert (after.display_name, after.picture.name) == ("Ada", profile.picture.name)
    with after.picture.open() as picture:
        assert picture.read() == encode("WEBP")
    assert get(server, PROFILE, Cookie=f"sessionid={client.cookies['sessionid'].value}").status == 200
    assert worker_starts(server) == 1

    # The complete form is accepted, so the truncation was the reason.
    with connect(server) as connected:
        connected.sendall(head + body)
        assert connected.recv(65536).startswith(b"HTTP/1.1 302 ")


@pytest.mark.django_db(transaction=True)
def test_password_reset_token_is_not_logged(server: Gunicorn) -> None:
    user = User.objects.create_user("ada")
    uid, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
    link = reverse("accounts:password_reset_confirm", args=[uid, token])
    shortened = link.replace(f"{token}/", "…")

    # when the link is opened, also without the trailing slash, and while the database is down
    with gunicorn(WEB_CONCURRENCY="1", DATABASE_URL="postgres://u:p@127.0.0.1:1/none") as broken:
        requests = [(server, link), (server, link.removesuffix("/")), (broken, f"{link}?email=ada@example.org")]
        statuses = [get(each, path, X_Request_ID="reset-link").status for each, path in requests]

    assert statuses == [302, 301, 500]
    lines = [
        line for each in (server, broken) for line in log_events(each, "request") if line["request_id"] == "reset-link"
    ]
    assert [(line["path"], line["status"]) for line in lines] == [(shortened, 302), (shortened, 301), (shortened, 500)]
    assert [line["level"] for line in log_events(broken, f"Internal Server Error: {shortened}")] == ["error"]
    for log in (server.log.read_text(), broken.log.read_text()):
        assert token not in log
        assert "ada@example.org" not in log


def test_https_redirects_and_sets_hsts_and_a_secure_cookie(django_db_setup: None) -> None:
    with gunicorn(WEB_CONCURRENCY="1", DJANGO_HTTPS="1") as server:
        plain = get(server, "/accounts/login/", Host="localhost")
        secure = get(server, "/accounts/login/", Host="localhost", X_Forwarded_Proto="https")

    assert (plain.status, plain.getheader("Location")) == (301, "https://localhost/accounts/login/")
    assert secure.status == 200
    assert secure.getheader("Strict-Transport-Security") == "max-age=31536000; includeSubDomains; preload"
    cookie = secure.getheader("Set-Cookie") or ""
    assert cookie.startswith("csrftoken=")
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
