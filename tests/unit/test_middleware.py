"""The middleware, called directly."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import MiddlewareNotUsed
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from pytest_django import Settings
from structlog.testing import capture_logs

from mainstay.middleware import content_security_policy, observe

POLICY = {"default-src": ["'none'"], "img-src": ["'self'", "https://pictures.example"]}


@pytest.mark.parametrize(
    ("debug", "status", "sent", "expected"),
    [
        (False, 200, None, "default-src 'none'; img-src 'self' https://pictures.example"),
        (False, 500, None, "default-src 'none'; img-src 'self' https://pictures.example"),
        (False, 200, "sandbox", "sandbox"),
        (True, 200, None, "default-src 'none'; img-src 'self' https://pictures.example"),
        (True, 404, None, None),
        (True, 500, None, None),
    ],
)
def test_responses_have_the_policy_unless_they_have_their_own_or_are_debug_pages(
    settings: Settings, debug: bool, status: int, sent: str | None, expected: str | None
) -> None:
    settings.DEBUG, settings.SECURE_CSP = debug, POLICY

    def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse(status=status, headers={"Content-Security-Policy": sent} if sent else None)

    response = content_security_policy(view)(RequestFactory().get("/"))

    assert response.get("Content-Security-Policy") == expected


def test_responses_have_the_policy_under_asgi(settings: Settings) -> None:
    settings.SECURE_CSP = POLICY

    async def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse()

    response = async_to_sync(content_security_policy(view))(RequestFactory().get("/"))

    assert response["Content-Security-Policy"] == "default-src 'none'; img-src 'self' https://pictures.example"


def test_without_a_policy_there_is_no_middleware(settings: Settings) -> None:
    settings.SECURE_CSP = {}

    with pytest.raises(MiddlewareNotUsed):
        content_security_policy(lambda _: HttpResponse())


class UnreadableSession:
    """A session that the view has tried to read while the database is down."""

    accessed = True

    def get(self, key: str) -> str:
        raise OperationalError


@pytest.mark.parametrize("status", [200, 500])
def test_request_whose_session_cannot_be_read_is_logged(status: int) -> None:
    request: Any = RequestFactory().get("/", headers={"x-request-id": "kept-in-a-failure"})
    request.session, request.resolver_match = UnreadableSession(), None

    with capture_logs() as events:
        response = observe(lambda _: HttpResponse(status=status))(request)

    assert [(event["status"], event["user_id"]) for event in events] == [(status, None)]
    assert response["X-Request-ID"] == "kept-in-a-failure"


def test_request_whose_client_disconnects_is_logged_under_asgi() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        raise asyncio.CancelledError

    request: Any = RequestFactory().get("/")
    request.resolver_match = None

    with capture_logs() as events, pytest.raises(asyncio.CancelledError):
        asyncio.run(observe(view)(request))

    assert [event["status"] for event in events] == [499]
