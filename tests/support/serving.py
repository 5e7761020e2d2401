"""Cases that nginx and Django must handle in the same way. The tests of both use these tables."""

from typing import NamedTuple

TOKEN = "d2q8x1-0b2f4a6c8e0d1f3a5b7c9d0e2f4a6b8c"

# A request path and its form in the log, cut where a secret may begin.
LOGGED_PATHS = [
    ("/accounts/password/reset/sent/", "/accounts/password/reset/sent/"),
    ("/admin/accounts/mail/4711/change/", "/admin/accounts/mail/4711/change/"),
    ("/static/main.0123456789ab.js", "/static/main.0123456789ab.js"),
    ("/a-long-name-of-words-alone/", "/a-long-name-of-words-alone/"),
    ("/nineteen/0123456789abcdefghi/", "/nineteen/0123456789abcdefghi/"),
    ("/twenty/0123456789abcdefghij/", "/twenty/…"),
    (f"/reset/MQ/{TOKEN}/set/", "/reset/MQ/…"),
    (f"/reset/MQ/{TOKEN}", "/reset/MQ/…"),
    (f"/invite={TOKEN}:signed", "/invite=…"),
]

# A value of X-Request-ID and whether it is accepted; otherwise the request gets a new id.
REQUEST_IDS = [
    ("0123456789abcdef0123456789abcdef", True),
    ("8char_id", True),
    ("with-dash_and_UPPER", True),
    ("a" * 64, True),
    ("a" * 65, False),
    ("7-chars", False),
    ("with.dots.in.it", False),
    ("with spaces in it", False),
    ("ends*/in;a-comment", False),
    ("", False),
]


class Upload(NamedTuple):
    """A file name, and the headers with which the file is served."""

    name: str
    content_type: str
    disposition: str


UPLOADS = [
    Upload("picture.avif", "image/avif", "inline"),
    Upload("picture.gif", "image/gif", "inline"),
    Upload("picture.jpg", "image/jpeg", "inline"),
    Upload("picture.jpeg", "image/jpeg", "inline"),
    Upload("picture.PNG", "image/png", "inline"),
    Upload("picture.webp", "image/webp", "inline"),
    Upload("drawing.svg", "application/octet-stream", "attachment"),
    Upload("page.html", "application/octet-stream", "attachment"),
    Upload("picture.png.html", "application/octet-stream", "attachment"),
    Upload("without-extension", "application/octet-stream", "attachment"),
]
UPLOAD_HEADERS = {
    "Cache-Control": "private, max-age=3600",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}

# Seconds that a static file without a hash in its name is cached.
STATIC_SECONDS = 60
