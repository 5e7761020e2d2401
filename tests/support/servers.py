"""The PostgreSQL and Valkey servers of the tests, and the environment variables with their addresses."""

import atexit
import os
import secrets
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devserver import postgres, valkey
from devserver.process import Server
from tests.support.ports import free_port

DATA = Path(tempfile.mkdtemp(prefix="service-tests-"))
atexit.register(shutil.rmtree, DATA, ignore_errors=True)

POSTGRES, VALKEY = (DATA / "postgres", free_port()), (DATA / "valkey", free_port())
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "service.settings",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "DJANGO_ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
    "DJANGO_HTTPS": "0",
    "DATABASE_URL": postgres.url(*POSTGRES),
    "REDIS_URL": valkey.url(*VALKEY),
    "CELERY_BROKER_URL": valkey.url(*VALKEY, database=1),
    "EMAIL_URL": "memorymail://",
    "MEDIA_ROOT": str(DATA / "media"),
    "LOG_FORMAT": "json",
}
# Variables in the developer's shell that would change the tested service.
for _name in (
    "DEBUG",
    "SECRET_KEY_FALLBACKS",
    "PROMETHEUS_MULTIPROC_DIR",
    "AWS_STORAGE_BUCKET_NAME",
    "ACCEL_REDIRECT_ROOT",
    "HEARTBEAT_FILE",
):
    os.environ.pop(_name, None)
os.environ |= ENVIRONMENT


def start_postgres() -> Server:
    return postgres.start(*POSTGRES, durable=False)


def start_valkey() -> Server:
    return valkey.start(*VALKEY, durable=False)


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """Serve TCP connections with `handler` on 127.0.0.1 and yield the port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
