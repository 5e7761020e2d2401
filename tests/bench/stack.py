"""One stack of `tests.bench.overhead`: answers each page of stdin with the CPU time of a request, in µs, on stderr."""

import io
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

PAGES = {"/": 200, "/accounts/login/": 200, "/no/such/page/": 404}
REQUESTS = 200  # a round


def main() -> None:
    from django.conf import settings
    from django.utils.module_loading import import_string

    application = import_string(settings.WSGI_APPLICATION)
    for line in sys.stdin:
        page = line.strip()
        started = time.process_time()
        for number in range(REQUESTS):
            request(application, page, number)
        seconds = time.process_time() - started
        sys.stderr.write(f"{seconds / REQUESTS * 1e6}\n")
        sys.stderr.flush()


def request(application: Callable[..., Iterable[bytes]], page: str, number: int) -> None:
    """A request as nginx passes it on."""
    statuses = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": page,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "HTTP_X_REQUEST_ID": f"{number:032x}",
        "HTTP_X_REQUEST_START": f"t={time.time():.3f}",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    response: Any = application(environ, lambda status, *_: statuses.append(status))
    body = b"".join(response)
    response.close()
    assert statuses[0].startswith(str(PAGES[page])), statuses
    assert b"Mainstay" in body


if __name__ == "__main__":
    main()
