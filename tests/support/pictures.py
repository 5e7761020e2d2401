"""Files to upload in the browser tests."""

import io
import os

from PIL import Image
from playwright.sync_api import FilePayload


def photo() -> FilePayload:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(content, "JPEG")
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": content.getvalue()}


def large_photo() -> FilePayload:
    """Over 2 MB of noise, which cannot be compressed."""
    content = io.BytesIO()
    Image.frombytes("RGB", (1000, 900), os.urandom(2_700_000)).save(content, "PNG")
    return {"name": "large.png", "mimeType": "image/png", "buffer": content.getvalue()}


def svg_named_png() -> FilePayload:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    return {"name": "drawing.png", "mimeType": "image/png", "buffer": svg}
