"""A page of each kind that a server is measured by, and a form whose rows tell how its requests came."""

import os
import socket
import uuid
from collections.abc import MutableMapping
from weakref import WeakKeyDictionary

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

from .models import Note

# A socket lives as long as its connection; two of them may have the same file descriptor, one after the other.
_connections: MutableMapping[socket.socket, str] = WeakKeyDictionary()


@require_GET
def as_json(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"text": "A note", "tags": ["one", "two", "three"]})


@csrf_exempt
@require_http_methods(["GET", "POST"])
def notes(request: HttpRequest) -> HttpResponse:
    """The latest ten; a POST stores one more."""
    if request.method == "POST":
        Note.objects.create(
            text=request.POST["text"],
            process=f"{socket.gethostname()}/{os.getpid()}",
            connection=_connections.setdefault(request.META["gunicorn.socket"], uuid.uuid4().hex),
        )
        return HttpResponse(status=201)
    return render(request, "notes/list.html", {"notes": Note.objects.order_by("-id")[:10]})
