"""The middleware, called directly."""

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from mainstay.middleware import content_security_policy
from pytest_django import Settings

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
