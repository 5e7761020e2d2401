"""`make run`: the whole service on this machine, in one process tree that one Ctrl-C ends."""

import argparse
import fcntl
import http.client
import os
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from devserver import postgres, valkey
from devserver.process import Child, DevServerError, free_port, secret, spawn
from devserver.terminal import complain, say

ROOT = Path(__file__).resolve().parent.parent


class Stopped(Exception):  # noqa: N818 # no error
    """A signal asks us to end."""


def main() -> int:
    """Run until a signal comes (status 0) or something fails (status 1, and why on stderr)."""
    # Signals are only noted, so that none comes between the start of a child and its entry in `children`.
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: signals.append(received))
    arguments = _arguments()
    data: Path = arguments.data.resolve()
    children: list[Child] = []
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(data, arguments.port):
            try:
                _start(data, arguments, children, signals)
                _watch(children, signals)
            finally:
                for child in reversed(children):
                    child.stop()
    except Stopped:
        say("Stopped", f"the data stays in {data}")
        return 0
    except (DevServerError, OSError) as error:
        complain(error)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devserver.run", description=__doc__)
    port = os.environ.get("PORT", "8000")
    workers = os.environ.get("WEB_CONCURRENCY", "2")
    parser.add_argument("--port", type=_port, default=port, help="of the service; PORT, else 8000")
    parser.add_argument("--data", type=Path, default=ROOT / ".data", help="the folder where everything stays; .data")
    parser.add_argument("--workers", default=workers, help="processes of Gunicorn; WEB_CONCURRENCY, else 2")
    return parser.parse_args()


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)


@contextmanager
def _alone(data: Path, port: int) -> Iterator[None]:
    """Hold the folder for this run. Raises DevServerError when another run has it."""
    with (data / "lock").open("a+") as lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevServerError(f"Another run is going on {data}: {lock.read()}. Stop it first.") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, http://127.0.0.1:{port}")
        lock.flush()
        yield


def _start(data: Path, arguments: argparse.Namespace, children: list[Child], signals: list[int]) -> None:
    """Start everything in the order in which it needs each other, adding each to `children`."""
    port = arguments.port
    if obstacle := _obstacle(port):
        raise DevServerError(f"Port {port} of 127.0.0.1 can't be had: {obstacle}. Choose another: PORT=8010 make run")
    # What leads libpq elsewhere (PGHOSTADDR, PGSSLMODE, …) is meant for other databases.
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    database, cache = free_port(), free_port()
    metrics = port + 1 if port < 65535 and not _obstacle(port + 1) else free_port()
    environment = _environment(data, arguments) | {
        "DATABASE_URL": postgres.url(data / "postgres", database),
        "REDIS_URL": valkey.url(data / "valkey", cache),
        "CELERY_BROKER_URL": valkey.url(data / "valkey", cache).removesuffix("0") + "1",
        "METRICS_PORT": str(metrics),
    }
    _hand_out(data / "environment", environment)

    def start(name: str, *command: str, lasting: bool = True) -> Child:
        # SIGTERM, since Celery's pool outlives a killed master.
        process = spawn([sys.executable, *command], cwd=ROOT, env=os.environ | environment, orphaned=signal.SIGTERM)
        children.append(child := Child(name=name, process=process, lasting=lasting))
        return child

    def ended(task: Child) -> bool:
        return task.process.poll() is not None

    bundle = start("Bundle", "-m", "devserver.bundle", lasting=False)
    say("PostgreSQL", f"127.0.0.1:{database}, log {data / 'postgres.log'}")
    children.append(postgres_server := postgres.launch(data / "postgres", database))
    say("Valkey", f"127.0.0.1:{cache}, log {data / 'valkey.log'}")
    children.append(valkey_server := valkey.launch(data / "valkey", cache))
    _watch(children, signals, postgres_server.answers)
    say("Migrations", "manage.py migrate")
    migrate = start("Migrations", "manage.py", "migrate", "--noinput", lasting=False)
    _watch(children, signals, lambda: ended(migrate) and ended(bundle) and valkey_server.answers())

    say("Gunicorn", f"{arguments.workers} workers")
    start("Gunicorn", "-m", "gunicorn", "--config", "python:mainstay.gunicorn", "service.wsgi:application")
    say("Exporter", f"http://127.0.0.1:{metrics}/metrics")
    start("Exporter", "-m", "mainstay.metrics.exporter")
    # First what answers: the others would only share the processors with it.
    _watch(children, signals, lambda: _ready(port))
    say("Worker", "celery worker, 2 processes")
    start("Worker", "-m", "celery", "--quiet", "-A", "service", "worker", "--concurrency", "2")
    say("Beat", "celery beat")
    start("Beat", "-m", "celery", "--quiet", "-A", "service", "beat")
    say("Ready", f"http://127.0.0.1:{port}    Ctrl-C ends it")


def _environment(data: Path, arguments: argparse.Namespace) -> dict[str, str]:
    """What the service reads; the caller's own variables win where that leaves the run in one piece."""
    shutil.rmtree(data / "metrics", ignore_errors=True)  # Those of the last run.
    for folder in ("media", "metrics"):
        (data / folder).mkdir(exist_ok=True)
    defaults = {
        "DJANGO_ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        "EMAIL_URL": "consolemail://",
        "LOG_FORMAT": "console",
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()} | {
        "DJANGO_HTTPS": "0",
        "DJANGO_SETTINGS_MODULE": "service.settings",
        "GUNICORN_BIND": f"127.0.0.1:{arguments.port}",
        "METRICS_HOST": "127.0.0.1",
        "MEDIA_ROOT": str(data / "media"),
        "PROMETHEUS_MULTIPROC_DIR": str(data / "metrics"),
        "PYTHONUNBUFFERED": "1",
        "SECRET_KEY": secret(data / "secret_key"),
        "WEB_CONCURRENCY": arguments.workers,
    }


def _hand_out(path: Path, environment: dict[str, str]) -> None:
    """Writes what a shell has to read before it runs `manage.py` beside this run; it holds secrets."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()))


def _watch(
    children: list[Child], signals: list[int], done: Callable[[], bool] = lambda: False, *, every: float = 0.05
) -> None:
    """Return when `done`. Raises Stopped when a signal came, DevServerError when a child ended that should not have."""
    while True:
        finished = done()
        if signals:
            raise Stopped
        for child in children:
            child.check()
        if finished:
            return
        time.sleep(every)


def _ready(port: int) -> bool:
    with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=3)) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    return False


def _obstacle(port: int) -> str | None:
    """Why nobody can listen on `port` now, if so."""
    with socket.socket() as listener:
        # What a run that ended just now left behind (TIME_WAIT) is none.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return None


if __name__ == "__main__":
    sys.exit(main())
