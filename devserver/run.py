"""`make run`: starts the service on this machine as one process tree; Ctrl-C stops all of it."""

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

from devserver import ROOT, postgres, status, valkey
from devserver.process import Child, DevServerError, secret, spawn, unused_port


class Stopped(Exception):  # noqa: N818 # not an error
    """SIGINT, SIGTERM or SIGHUP was received."""


def main() -> None:
    """Run until a signal is received (exit status 0) or an error occurs (a message and exit status 1)."""
    # The handler only records the signal. An exception could be raised between the start of a child process and its
    # entry in `children`, and the process would not be stopped.
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: signals.append(received))
    arguments = _arguments()
    data: Path = arguments.data.resolve()
    children: list[Child] = []
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _lock(data, arguments.port):
            try:
                _start(data, arguments.port, children, signals)
                _wait_for(lambda: False, children, signals)
            finally:
                for child in reversed(children):
                    child.stop()
    except Stopped:
        status("Stopped", f"the data is in {data}")
    except (DevServerError, OSError) as error:
        sys.exit(str(error))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devserver.run", description=__doc__)
    port = os.environ.get("PORT", "8000")
    parser.add_argument("--port", type=int, default=port, help="port of the service (default: PORT or 8000)")
    parser.add_argument("--data", type=Path, default=ROOT / ".data", help="directory of all data (default: .data)")
    return parser.parse_args()


@contextmanager
def _lock(data: Path, port: int) -> Iterator[None]:
    """Lock the data directory. Raises DevServerError if another run has locked it."""
    with (data / "lock").open("a+") as lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevServerError(f"{data} is in use by another run ({lock.read()}). Stop that run first.") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, http://127.0.0.1:{port}")
        lock.flush()
        yield


def _start(data: Path, port: int, children: list[Child], signals: list[int]) -> None:
    """Start all processes in the order of their dependencies and append each of them to `children`."""
    _check_port(port)
    # libpq's variables (PGHOSTADDR, PGSSLMODE, …) would redirect the connections to this run's database.
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    database, cache, metrics = unused_port(), unused_port(), unused_port()
    environment = _environment(data, port) | {
        "DATABASE_URL": postgres.url(data / "postgres", database),
        "REDIS_URL": valkey.url(data / "valkey", cache),
        "CELERY_BROKER_URL": valkey.url(data / "valkey", cache, database=1),
        "METRICS_PORT": str(metrics),
    }
    _write_environment(data / "environment", environment)

    def start(name: str, *command: str, one_shot: bool = False) -> Child:
        # SIGTERM, because the pool processes of Celery survive a SIGKILL of their parent.
        process = spawn(
            [sys.executable, *command], cwd=ROOT, env=os.environ | environment, parent_death_signal=signal.SIGTERM
        )
        children.append(child := Child(name=name, process=process, one_shot=one_shot))
        return child

    def exited(child: Child) -> bool:
        return child.process.poll() is not None

    bundle = start("Bundle", "-m", "devserver.bundle", one_shot=True)
    status("PostgreSQL", f"127.0.0.1:{database}, log {data / 'postgres.log'}")
    children.append(postgres_server := postgres.launch(data / "postgres", database))
    status("Valkey", f"127.0.0.1:{cache}, log {data / 'valkey.log'}")
    children.append(valkey_server := valkey.launch(data / "valkey", cache))
    _wait_for(postgres_server.is_ready, children, signals)
    status("Migrations", "manage.py migrate")
    migrate = start("Migrations", "manage.py", "migrate", "--noinput", one_shot=True)
    _wait_for(lambda: exited(migrate) and exited(bundle) and valkey_server.is_ready(), children, signals)

    status("Gunicorn", f"{environment['WEB_CONCURRENCY']} workers")
    start("Gunicorn", "-m", "gunicorn", "--config", "python:mainstay.gunicorn", "service.wsgi:application")
    status("Exporter", f"http://127.0.0.1:{metrics}/metrics")
    start("Exporter", "-m", "mainstay.metrics.exporter")
    # Celery starts after Gunicorn is ready; in parallel it would delay the first page.
    _wait_for(lambda: _is_ready(port), children, signals)
    status("Worker", "celery worker, 2 processes")
    start("Worker", "-m", "celery", "--quiet", "-A", "service", "worker", "--concurrency", "2")
    status("Beat", "celery beat")
    start("Beat", "-m", "celery", "--quiet", "-A", "service", "beat")
    status("Ready", f"http://127.0.0.1:{port}    Press Ctrl-C to stop")


def _check_port(port: int) -> None:
    """Raise DevServerError if the service cannot listen on the port."""
    with socket.socket() as listener:
        # Allows a port whose closed connections are in TIME_WAIT, such as after a previous run.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise DevServerError(
                f"Cannot listen on 127.0.0.1:{port} ({error}). Choose another port: PORT=8010 make run"
            ) from None


def _environment(data: Path, port: int) -> dict[str, str]:
    """Return the variables of the service. The caller's environment overrides the first four."""
    shutil.rmtree(data / "metrics", ignore_errors=True)  # of the previous run
    for directory in ("media", "metrics"):
        (data / directory).mkdir(exist_ok=True)
    defaults = {
        "DJANGO_ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        "EMAIL_URL": "consolemail://",
        "LOG_FORMAT": "console",
        "WEB_CONCURRENCY": "2",
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()} | {
        "DJANGO_HTTPS": "0",
        "DJANGO_SETTINGS_MODULE": "service.settings",
        "GUNICORN_BIND": f"127.0.0.1:{port}",
        "METRICS_HOST": "127.0.0.1",
        "MEDIA_ROOT": str(data / "media"),
        "PROMETHEUS_MULTIPROC_DIR": str(data / "metrics"),
        "PYTHONUNBUFFERED": "1",
        "SECRET_KEY": secret(data / "secret_key"),
    }


def _write_environment(path: Path, environment: dict[str, str]) -> None:
    """Write a shell script that sets the variables, for running `manage.py` in another terminal. Mode 0600: secrets."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()))


def _wait_for(condition: Callable[[], bool], children: list[Child], signals: list[int]) -> None:
    """Wait for the condition. Raises Stopped after a signal and DevServerError if a child exits unexpectedly."""
    while True:
        met = condition()
        if signals:
            raise Stopped
        for child in children:
            child.check()
        if met:
            return
        time.sleep(0.05)


def _is_ready(port: int) -> bool:
    with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=3)) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    return False


if __name__ == "__main__":
    main()
