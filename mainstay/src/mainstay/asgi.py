"""The ASGI application: Django's, behind the probes."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core.asgi import get_asgi_application as get_django_application
from django.core.management import BaseCommand

from mainstay import health_server
from mainstay.metrics import slots
from mainstay.metrics.instruments import REQUESTS_IN_PROGRESS

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def get_asgi_application() -> Application:
    """Django's application with everything of this module, in place of `django.core.asgi.get_asgi_application`.

    The system checks run first, so that a wrong setting shows at the start and not at the first request. Outside of
    Gunicorn, whose workers have hooks for it, the health listener starts as well.
    """
    slots.init()
    application: Application = get_django_application()  # type: ignore[assignment] # the same in other words
    BaseCommand().check()
    health_server.start_unless_hooked()
    return with_health(with_requests_in_progress(application))


def with_health(application: Application) -> Application:
    """Answers the probes before Django: without middleware, and for any host name."""
    from mainstay.health import HEADERS, PROBES

    # Threads of its own: those of Django may all wait for the database.
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
    """Counts the requests that are being answered."""

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
