"""One stack of `tests.bench.overhead`: answers each round of stdin, a page and a number, on stderr."""

import io
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[..., Iterable[bytes]]

PAGES = {"/": 200, "/accounts/login/": 200, "/no/such/page/": 404}
# CPython allocates frames in chunks of 16 KiB, and frees a chunk when its first frame returns. A loop across the border
# of two chunks is slow, which depends on the depth of the call alone. The rounds therefore have calls of all depths.
DEPTHS, REQUESTS = 128, 8


def main() -> None:
    from django.conf import settings
    from django.utils.module_loading import import_string

    application = import_string(settings.WSGI_APPLICATION)
    for line in sys.stdin:
        page, number = line.split()
        depths = range(int(number) % (DEPTHS // REQUESTS), DEPTHS, DEPTHS // REQUESTS)
        request(application, page, 0)  # the other stack has just had the CPU's caches
        seconds = sum(request_at(depth, application, page, depth) for depth in depths)
        sys.stderr.write(f"{seconds / REQUESTS * 1e6}\n")
        sys.stderr.flush()


def request_at(depth: int, application: Application, page: str, number: int) -> float:
    """The CPU seconds of a request, `depth` calls deeper."""
    if depth:
        return request_at(depth - 1, application, page, number)
    started = time.process_time()
    request(application, page, number)
    return time.process_time() - started


def request(application: Application, page: str, number: int) -> None:
    """A browser's request as nginx passes it on."""
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
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
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
