"""Django's WSGI application, wrapped so that the health probes are answered first."""

from collections.abc import Callable, Iterable
from typing import Any

from django.core.management import BaseCommand
from django.core.wsgi import get_wsgi_application as get_django_application

from mainstay import health_server
from mainstay.metrics import slots
from mainstay.metrics.instruments import REQUESTS_IN_PROGRESS

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def get_wsgi_application() -> Application:
    """Returns Django's application with the wrappers of this module.

    Use it instead of `django.core.wsgi.get_wsgi_application`. The system checks run first, so that an invalid setting
    fails at startup and not at the first request. It also starts the health listener, except in Gunicorn, whose hooks
    start it in each worker.
    """
    slots.init()
    application = get_django_application()
    BaseCommand().check()
    health_server.start_unless_hooked()
    return with_health(with_requests_in_progress(with_whole_body(application)))


def with_health(application: Application) -> Application:
    """Answers the probes before Django: without middleware, and for any host name."""
    from mainstay.health import HEADERS, PROBES

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        probe = PROBES.get(environ["PATH_INFO"])
        if probe is None:
            return application(environ, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
            return []
        status, body = probe.answer()
        reason = "200 OK" if status == 200 else "503 Service Unavailable"
        start_response(reason, [*HEADERS, ("Content-Length", str(len(body)))])
        return [body] if environ["REQUEST_METHOD"] == "GET" else []

    return answer


def with_requests_in_progress(application: Application) -> Application:
    """Counts the requests in progress, which is the number of busy threads."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        REQUESTS_IN_PROGRESS.inc()
        try:
            return application(environ, start_response)
        finally:
            REQUESTS_IN_PROGRESS.dec()

    return answer


def with_whole_body(application: Application) -> Application:
    """Rejects an incomplete body.

    If the client disconnects, Gunicorn returns the bytes received so far, and Django would accept an incomplete form.
    nginx passes on complete bodies only.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"] = WholeBody(environ["wsgi.input"])
        return application(environ, start_response)

    return answer


class WholeBody:
    """The body of a request. A read past its end raises ConnectionResetError."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def read(self, size: int) -> bytes:
        return self._whole(self.stream.read(size), size)

    def readline(self, size: int) -> bytes:
        return self._whole(self.stream.readline(size), 1)

    def _whole(self, data: bytes, least: int) -> bytes:
        """Django reads at most Content-Length bytes, so a short read means that the client disconnected."""
        if len(data) < least:
            raise ConnectionResetError("The client disconnected before the end of the body.")
        return data
