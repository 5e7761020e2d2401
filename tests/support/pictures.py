"""Files that people choose, as the browser hands them over."""

import io
import os

from PIL import Image
from playwright.sync_api import FilePayload


def photo() -> FilePayload:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(content, "JPEG")
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": content.getvalue()}


def large_photo() -> FilePayload:
    """Noise, which no format can make smaller: more than 2 MB."""
    content = io.BytesIO()
    Image.frombytes("RGB", (1000, 900), os.urandom(2_700_000)).save(content, "PNG")
    return {"name": "large.png", "mimeType": "image/png", "buffer": content.getvalue()}


def drawing_named_png() -> FilePayload:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    return {"name": "drawing.png", "mimeType": "image/png", "buffer": svg}
