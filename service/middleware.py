"""The middleware of this project."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

View = Callable[[HttpRequest], HttpResponse]


def limit_body(get_response: View) -> View:
    """Returns 413 without reading the body if Content-Length exceeds MAX_BODY_BYTES."""

    def middleware(request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > settings.MAX_BODY_BYTES:
            limit = settings.MAX_BODY_BYTES // 2**20
            return render(request, "413.html", {"limit": limit}, status=413)
        return get_response(request)

    return middleware


def htmx_redirects(get_response: View) -> View:
    """Turns a redirect into HX-Redirect, because the fetch of htmx would follow it and swap in the target page."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code == 302 and request.META.get("HTTP_HX_REQUEST") == "true":
            target = HttpResponse(status=204, headers={"HX-Redirect": response["Location"]})
            target.cookies = response.cookies
            return target
        return response

    return middleware
