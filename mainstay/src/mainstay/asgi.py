"""Django's ASGI application, wrapped so that the health probes are answered first."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core.asgi import get_asgi_application as get_django_application
from django.core.management import BaseCommand
from django.core.signals import request_finished
from django.db import connections

from mainstay import health_server
from mainstay.metrics import slots
from mainstay.metrics.instruments import REQUESTS_IN_PROGRESS

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def get_asgi_application() -> Application:
    """Returns Django's application with the wrappers of this module.

    Use it instead of `django.core.asgi.get_asgi_application`. The system checks run first, so that an invalid setting
    fails at startup and not at the first request. It also starts the health listener, except in Gunicorn, whose hooks
    start it in each worker.
    """
    slots.init()
    application: Application = get_django_application()  # type: ignore[assignment] # equivalent types
    BaseCommand().check()
    request_finished.connect(_close_connections)
    health_server.start_unless_hooked()
    return with_health(with_requests_in_progress(application))


def with_health(application: Application) -> Application:
    """Answers the probes before Django: without middleware, and for any host name."""
    from mainstay.health import HEADERS, PROBES

    # A separate pool, because all of Django's threads can be waiting for the database.
    executor = ThreadPoolExecutor(max_workers=health_server.THREADS, thread_name_prefix="health")

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        probe = PROBES.get(scope["path"]) if scope["type"] == "http" else None
        if probe is None:
            await application(scope, receive, send)
            return
        headers, body = [("Allow", "GET, HEAD")], b""
        status = 405
        if scope["method"] in ("GET", "HEAD"):
            status, body = await asyncio.get_running_loop().run_in_executor(executor, probe.answer)
            headers = list(HEADERS)
        headers.append(("Content-Length", str(len(body))))
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": body if scope["method"] == "GET" else b""})

    return answer


def with_requests_in_progress(application: Application) -> Application:
    """Counts the requests in progress."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        REQUESTS_IN_PROGRESS.inc()
        try:
            await application(scope, receive, send)
        finally:
            REQUESTS_IN_PROGRESS.dec()

    return answer


def _close_connections(**_: Any) -> None:
    """Closes the connections of a request, whatever CONN_MAX_AGE is: each request has a thread that ends with it."""
    connections.close_all()
