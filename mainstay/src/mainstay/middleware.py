"""The middleware of every request, for WSGI and ASGI."""

import asyncio
import time
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import BadRequest, MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware
from django_prometheus.middleware import Metrics

from mainstay import request_id
from mainstay.logging import redact
from mainstay.metrics.instruments import REQUEST_QUEUE

logger = structlog.get_logger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CLIENT_CLOSED_REQUEST = 499  # nginx's status for it
MAX_QUEUE_SECONDS = 600  # a longer time means that the clocks differ


@sync_and_async_middleware
def observe(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Sets the request id, and measures and logs each request: the first of MIDDLEWARE.

    The metrics are those of django-prometheus' PrometheusBeforeMiddleware. A method that HTTP does not define is
    answered with 501 (RFC 9110, 9.1), before it becomes the value of a label.
    """
    metrics = Metrics.get_instance()

    def begin(request: HttpRequest) -> str:
        metrics.requests_total.inc()
        _observe_queue(request)
        return request_id.accepted(request.META.get("HTTP_X_REQUEST_ID"))

    def end(request: HttpRequest, response: HttpResponse, started: float, current: str) -> None:
        seconds = time.perf_counter() - started
        metrics.responses_total.inc()
        metrics.requests_latency_before.observe(seconds)
        match = request.resolver_match
        logger.info(
            "request",
            method=request.method,
            path=redact(request.path),
            view=match.view_name if match else None,
            status=response.status_code,
            duration_ms=round(seconds * 1000, 1),
            user_id=_user_id(request) if response.status_code < 500 else None,
        )
        response.headers[request_id.HEADER] = current

    if iscoroutinefunction(get_response):

        async def async_middleware(request: HttpRequest) -> HttpResponse:
            if request.method not in METHODS:
                return _not_implemented()
            started = time.perf_counter()
            current = begin(request)
            with request_id.bound(current):
                try:
                    response: HttpResponse = await get_response(request)
                except asyncio.CancelledError:  # the client has disconnected
                    end(request, HttpResponse(status=CLIENT_CLOSED_REQUEST), started, current)
                    raise
                end(request, response, started, current)
            return response

        return async_middleware

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.method not in METHODS:
            return _not_implemented()
        started = time.perf_counter()
        current = begin(request)
        with request_id.bound(current):
            response: HttpResponse = get_response(request)
            end(request, response, started, current)
        return response

    return middleware


@sync_and_async_middleware
def refuse_nul(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Answers 400 to a NUL in the query, which PostgreSQL would refuse with an error, and drops a cookie with one.

    A NUL in a form is an error of its field. A cookie is sent again with each request, so a 400 would not go away.
    """

    def check(request: HttpRequest) -> None:
        if "%00" in request.META["QUERY_STRING"]:
            raise BadRequest("The query contains a NUL.")
        if "\0" in request.META.get("HTTP_COOKIE", "") or "\\000" in request.META.get("HTTP_COOKIE", ""):
            request.COOKIES = {name: value for name, value in request.COOKIES.items() if "\0" not in value}

    if iscoroutinefunction(get_response):

        async def async_middleware(request: HttpRequest) -> HttpResponse:
            check(request)
            response: HttpResponse = await get_response(request)
            return response

        return async_middleware

    def middleware(request: HttpRequest) -> HttpResponse:
        check(request)
        response: HttpResponse = get_response(request)
        return response

    return middleware


@sync_and_async_middleware
def content_security_policy(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Sets the policy of SECURE_CSP on each response that has none, but not on debug pages, whose styles are inline.

    SECURE_CSP has the form of Django 6.0, whose own middleware can take the place of this one: a dictionary of
    directives, each with a list of sources.
    """
    if not settings.SECURE_CSP:
        raise MiddlewareNotUsed
    policy = "; ".join(" ".join((directive, *sources)) for directive, sources in settings.SECURE_CSP.items())

    def end(response: HttpResponse) -> HttpResponse:
        if not (settings.DEBUG and response.status_code in (404, 500)):
            response.headers.setdefault("Content-Security-Policy", policy)
        return response

    if iscoroutinefunction(get_response):

        async def async_middleware(request: HttpRequest) -> HttpResponse:
            return end(await get_response(request))

        return async_middleware

    def middleware(request: HttpRequest) -> HttpResponse:
        return end(get_response(request))

    return middleware


def _not_implemented() -> HttpResponse:
    return HttpResponse("Unknown method.\n", status=501, content_type="text/plain")


def _observe_queue(request: HttpRequest) -> None:
    """Observes the time since X-Request-Start: `t=` and Unix seconds with milliseconds."""
    header = request.META.get("HTTP_X_REQUEST_START")
    if not header:
        return
    try:
        waited = time.time() - float(header.removeprefix("t="))
    except ValueError:
        return
    if 0 <= waited < MAX_QUEUE_SECONDS:
        REQUEST_QUEUE.observe(waited)


def _user_id(request: HttpRequest) -> str | None:
    """The id of the session's user, if the view has read the session: to read it here would cost a query."""
    session = getattr(request, "session", None)
    if session is None or not session.accessed:
        return None
    try:
        user_id: str | None = session.get(SESSION_KEY)
    except Exception:  # noqa: BLE001 # the view could not load it either, and the request is logged all the same
        return None
    return user_id
