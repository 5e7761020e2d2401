"""The probes in front of an ASGI application, and the gauge of its requests."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from mainstay.asgi import Receive, Scope, Send, with_health, with_requests_in_progress


def sent(application: Any, scope: Scope) -> list[dict[str, Any]]:
    """What the application sends for a request without a body."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    asyncio.run(application(scope, receive, send))
    return messages


async def project(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "project", "in_progress": REGISTRY.get_sample_value("http_requests_in_progress")})


@pytest.mark.parametrize(
    ("method", "status", "has_body"), [("GET", 200, True), ("HEAD", 200, False), ("POST", 405, False)]
)
def test_a_probe_is_answered_before_the_project(method: str, status: int, has_body: bool) -> None:
    start, body = sent(with_health(project), {"type": "http", "path": "/livez", "method": method})

    assert (start["status"], bool(body["body"])) == (status, has_body)
    assert ((b"allow", b"GET, HEAD") in start["headers"]) is (status == 405)
    assert ((b"cache-control", b"no-store") in start["headers"]) is (status == 200)


@pytest.mark.parametrize("scope", [{"type": "http", "path": "/", "method": "GET"}, {"type": "lifespan"}])
def test_everything_else_is_the_project_s(scope: Scope) -> None:
    (message,) = sent(with_health(project), scope)

    assert message["type"] == "project"


def test_requests_in_progress_are_counted_without_other_scopes() -> None:
    application = with_requests_in_progress(project)

    assert [message["in_progress"] for message in sent(application, {"type": "http"})] == [1]
    assert [message["in_progress"] for message in sent(application, {"type": "lifespan"})] == [0]
