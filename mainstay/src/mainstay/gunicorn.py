"""The configuration of Gunicorn: `gunicorn --config python:mainstay.gunicorn project.wsgi`.

An option on the command line overrides it, such as `--worker-class uvicorn_worker.UvicornWorker project.asgi`.
"""

import socket
from pathlib import Path
from typing import Any

from gunicorn import glogging

from mainstay import environment, health_server
from mainstay.logging import configure_logging
from mainstay.metrics.instruments import THREADS

bind = environment.text("GUNICORN_BIND", default="127.0.0.1:8000")
worker_class = "gthread"
workers = environment.integer("WEB_CONCURRENCY", default=2, minimum=1)
threads = environment.integer("GUNICORN_THREADS", default=4, minimum=1)
timeout = environment.integer("GUNICORN_TIMEOUT", default=30, minimum=1)
graceful_timeout = environment.integer("GUNICORN_GRACEFUL_TIMEOUT", default=30, minimum=1)
# Longer than the keepalive of proxies, so that the proxy closes idle connections (docs/decisions/0004).
keepalive = 75
# Limits memory leaks. A large jitter keeps the workers from restarting together (docs/decisions/0004).
max_requests = max_requests_jitter = environment.integer("GUNICORN_MAX_REQUESTS", default=10_000)
preload_app = True
# nginx, another user of the same group, connects to the socket.
umask = 0o007
# On a disk, the workers' heartbeat would block when the disk blocks.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 # no file stays there
control_socket_disable = True
logconfig_dict = configure_logging()
logger_class = "mainstay.gunicorn.Logger"

_listener: socket.socket | None = None
health_server.hooked = True


class Logger(glogging.Logger):
    """Gunicorn's logger without an access log, whose fields take 15 µs a request even if none is written."""

    def access(self, *_: Any) -> None:
        """The middleware logs requests."""


def on_starting(server: Any) -> None:
    """Opens the health listener, which all workers inherit."""
    global _listener
    _listener = health_server.listen()


def pre_fork(server: Any, worker: Any) -> None:
    """Closes the database connections of the master, so that no worker inherits one."""
    from django.db import connections

    connections.close_all()


def post_worker_init(worker: Any) -> None:
    """Starts the health listener's threads in the worker."""
    if worker.cfg.worker_class_str in ("gthread", "sync"):  # others are not limited by threads
        THREADS.set(worker.cfg.threads)
    if _listener:
        health_server.serve(_listener)
