"""Files that users uploaded or that we export, by Django or, where nginx is in front, by nginx."""

import os
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase

PICTURES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


def serve_media(request: HttpRequest, name: str) -> HttpResponseBase:
    """An upload, so that it can't run as a page: only known pictures are shown, and nothing in them is executed."""
    if settings.AWS_STORAGE_BUCKET_NAME:
        raise Http404
    try:
        file = default_storage.open(name)
    except (OSError, SuspiciousOperation, ValueError) as error:
        raise Http404 from error
    kind = PICTURES.get(Path(name).suffix)
    return FileResponse(
        file,
        as_attachment=kind is None,
        content_type=kind or "application/octet-stream",
        headers={
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, max-age=86400",
        },
    )


def download(content: bytes, name: str, content_type: str) -> HttpResponse:
    """An export as an attachment; from ACCEL_REDIRECT_ROOT by nginx where that is set."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    if not settings.ACCEL_REDIRECT_ROOT:
        return HttpResponse(content, content_type=content_type, headers=headers)
    # Written beside and renamed: nginx may be sending the former one.
    with tempfile.NamedTemporaryFile(dir=settings.ACCEL_REDIRECT_ROOT, delete=False) as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o640)
    Path(file.name).replace(Path(settings.ACCEL_REDIRECT_ROOT) / name)
    return HttpResponse(content_type=content_type, headers=headers | {"X-Accel-Redirect": f"/accel/{name}"})
