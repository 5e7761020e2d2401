"""What every request passes through, beside Django's own."""

import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mainstay.health import Wsgi
from mainstay.logging import cut
from mainstay.metrics.instruments import REQUEST_QUEUE
from mainstay.request_id import comment_queries

View = Callable[[HttpRequest], HttpResponse]
logger = structlog.get_logger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
LONGEST_QUEUE = 600  # seconds; more than that is a clock that differs


def refuse_unknown_methods(get_response: View) -> View:
    """501 for a method that HTTP does not know, before it becomes the value of a label (RFC 9110, 9.1)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.method not in METHODS:
            return HttpResponse("Unknown method.\n", status=501, content_type="text/plain")
        return get_response(request)

    return middleware


def request_context(get_response: View) -> View:
    """Gives the request an id (nginx's, or a new one) that stands in logs, SQL comments and the answer."""

    def middleware(request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        _observe_queue(request.headers.get("X-Request-Start", ""))
        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            connection.execute_wrapper(comment_queries),
        ):
            response = get_response(request)
            logger.info(
                "request",
                method=request.method,
                path=cut(request.path),
                view=request.resolver_match.view_name if request.resolver_match else None,
                status=response.status_code,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
                user_id=_loaded_user_id(request),
            )
        response["X-Request-ID"] = request_id
        return response

    return middleware


def limit_body(get_response: View) -> View:
    """413 for a body over MAX_BODY_BYTES, before a byte of it is read."""

    def middleware(request: HttpRequest) -> HttpResponse:
        length = request.headers.get("Content-Length") or "0"
        if not length.isdecimal() or int(length) > settings.MAX_BODY_BYTES:
            limit = settings.MAX_BODY_BYTES // 2**20
            return render(request, "413.html", {"limit": limit}, status=413)
        return get_response(request)

    return middleware


def refuse_nul(get_response: View) -> View:
    """400 for a NUL in the query, and a cookie with one is none: PostgreSQL refuses it, and the answer would be 500.

    One in a form is for the form to tell; one in a cookie would come again and again.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if "%00" in request.META["QUERY_STRING"]:
            raise BadRequest("There is a NUL in the query.")
        request.COOKIES = {name: value for name, value in request.COOKIES.items() if "\0" not in value}
        return get_response(request)

    return middleware


def htmx_redirects(get_response: View) -> View:
    """Lets htmx go where a form's answer redirects to: its fetch would follow on its own and swap the page."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.headers.get("HX-Request") == "true" and response.status_code == 302:
            target = HttpResponse(status=204, headers={"HX-Redirect": response["Location"]})
            target.cookies = response.cookies
            return target
        return response

    return middleware


class WholeBody:
    """The body of a request, which breaks where the client left before its end.

    Gunicorn then returns what came, and Django would take half a form for a whole one. nginx, where it is in
    front, passes on whole bodies only.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def read(self, size: int) -> bytes:
        return self._whole(self.stream.read(size), size)

    def readline(self, size: int) -> bytes:
        return self._whole(self.stream.readline(size), 1)

    def _whole(self, data: bytes, least: int) -> bytes:
        """Django asks for no more than Content-Length says."""
        if len(data) < least:
            raise ConnectionResetError("The client left before the end of the body.")
        return data


def with_whole_body(application: Wsgi) -> Wsgi:
    """The application, which reads no half a body."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"] = WholeBody(environ["wsgi.input"])
        return application(environ, start_response)

    return answer


def _observe_queue(header: str) -> None:
    """Nginx writes it: `t=` and seconds with milliseconds."""
    try:
        waited = time.time() - float(header.removeprefix("t="))
    except ValueError:
        return
    if 0 <= waited < LONGEST_QUEUE:
        REQUEST_QUEUE.observe(waited)


def _loaded_user_id(request: HttpRequest) -> int | None:
    """The user's id if the view has asked for the user; asking here would cost a query."""
    user = getattr(request, "_cached_user", None)
    return user.pk if user else None
