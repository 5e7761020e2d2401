"""The middleware of this project."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

View = Callable[[HttpRequest], HttpResponse]


def limit_body(get_response: View) -> View:
    """Answers 413 to a body over MAX_BODY_BYTES, before a byte of it is read."""

    def middleware(request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > settings.MAX_BODY_BYTES:
            limit = settings.MAX_BODY_BYTES // 2**20
            return render(request, "413.html", {"limit": limit}, status=413)
        return get_response(request)

    return middleware


def htmx_redirects(get_response: View) -> View:
    """Turns a redirect into HX-Redirect for htmx, whose fetch would follow it and swap the page."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code == 302 and request.META.get("HTTP_HX_REQUEST") == "true":
            target = HttpResponse(status=204, headers={"HX-Redirect": response["Location"]})
            target.cookies = response.cookies
            return target
        return response

    return middleware
