"""The health listener: a small threaded HTTP server in each worker, at HEALTH_BIND.

It answers while every thread of the worker waits. Without it, the kubelet restarts pods while the
database is slow (mozmeao/infra#660). All workers of a pod share the port.
"""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler

import structlog
from django.core.exceptions import ImproperlyConfigured

from mainstay import environment
from mainstay.health import HEADERS, PROBES
from mainstay.process import role

logger = structlog.get_logger(__name__)

THREADS = 4  # enough, because concurrent probes share one check
BACKLOG = 64
RETRY_SECONDS = 0.1

hooked = False  # set by mainstay.gunicorn, whose hooks start the listener in each worker


def listen() -> socket.socket | None:
    """A socket at HEALTH_BIND, `host:port` or `:port` for every address; None if the variable is not set.

    ImproperlyConfigured if the value or the port cannot be used.
    """
    bind = environment.text("HEALTH_BIND", default="")
    if not bind:
        return None
    host, _, port = bind.rpartition(":")
    everywhere = not host and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            (host.strip("[]"), int(port)),
            family=socket.AF_INET6 if everywhere or ":" in host else socket.AF_INET,
            dualstack_ipv6=everywhere,
            backlog=BACKLOG,
            reuse_port=True,
        )
    except (OSError, ValueError, OverflowError) as error:
        raise ImproperlyConfigured(f"HEALTH_BIND must be a free host:port or :port ({error}).") from error
    listener.settimeout(None)  # whatever the default of the process is
    return listener


def serve(listener: socket.socket) -> None:
    """Starts the threads that answer; they end with the process."""
    for number in range(THREADS):
        threading.Thread(target=_accept, args=(listener,), name=f"health-{number}", daemon=True).start()


def start_unless_hooked() -> None:
    """Starts the listener if this process serves requests and no hook of Gunicorn starts it."""
    if not hooked and role() == "web" and (listener := listen()):
        serve(listener)


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, address = listener.accept()
            with connection:
                _Handler(connection, address, None)  # type: ignore[arg-type] # the handler does not use its server
        except OSError:  # the client has disconnected, or the process has no free file descriptor
            time.sleep(RETRY_SECONDS)
        except Exception:
            logger.exception("probe_failed")


class _Handler(BaseHTTPRequestHandler):
    timeout = 5  # seconds that a client may be silent

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def _answer(self, *, has_body: bool) -> None:
        probe = PROBES.get(self.path)
        status, body = probe.answer() if probe else (404, b"")
        self.send_response(status)
        for name, value in (*HEADERS, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name in the library
        """Nothing: `probe` is logged when a result changes."""
