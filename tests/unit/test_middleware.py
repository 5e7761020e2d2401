"""The middleware, called directly."""

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from mainstay.middleware import content_security_policy

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
