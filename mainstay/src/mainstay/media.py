"""Uploads and exports, served by Django, or by nginx where it runs in front."""

import os
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import FileSystemStorage, default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase

# Shown in the browser; any other file is downloaded. The chart's nginx serves a media volume with the same headers.
PICTURES = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=3600",
}


def serve_media(request: HttpRequest, name: str) -> HttpResponseBase:
    """Serves an upload. Pictures are displayed, other files are downloaded, and no script in a file is executed."""
    if not isinstance(default_storage, FileSystemStorage):
        raise Http404
    try:
        file = default_storage.open(name)
    except (OSError, SuspiciousOperation, ValueError) as error:
        raise Http404 from error
    content_type = PICTURES.get(Path(name).suffix.lower())
    return FileResponse(
        file,
        as_attachment=content_type is None,
        content_type=content_type or "application/octet-stream",
        headers=HEADERS,
    )


def download(content: bytes, name: str, content_type: str) -> HttpResponse:
    """An attachment, sent by nginx from the directory ACCEL_REDIRECT_ROOT where that setting is not empty."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    root = getattr(settings, "ACCEL_REDIRECT_ROOT", "")
    if not root:
        return HttpResponse(content, content_type=content_type, headers=headers)
    # Write a temporary file and rename it, because nginx may be sending the previous one.
    with tempfile.NamedTemporaryFile(dir=root, delete=False) as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o640)
    Path(file.name).replace(Path(root) / name)
    return HttpResponse(content_type=content_type, headers=headers | {"X-Accel-Redirect": f"/accel/{name}"})
