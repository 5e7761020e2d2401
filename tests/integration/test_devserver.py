"""The PostgreSQL and Valkey of the development server, and `make run`, with data directories that contain spaces."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2
import pytest
import redis

from devserver import postgres, valkey
from devserver.process import NOBODY, DevServerError, Server, spawn
from tests.support import ROOT
from tests.support.ports import free_port
from tests.support.processes import answers, children, state, wait_until

requires_root = pytest.mark.skipif(os.geteuid() != 0, reason="requires root")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a server, not created yet, in a directory with mode 0700."""
    directory = tmp_path / "mode 700"
    directory.mkdir(mode=0o700)
    return directory / "server"


def query(server: Server, sql: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(server.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


def alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return state(pid) != "Z"
    return False


def descendants(pid: int) -> list[int]:
    family = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for child in children(pid):
            family += [child, *descendants(child)]
    return family


def command(pid: int) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def all_exited(family: list[int]) -> bool:
    return not any(alive(pid) for pid in family)


# --- PostgreSQL ----------------------------------------------------------------------------------


def test_postgres_keeps_its_data_across_restarts(data: Path) -> None:
    first = postgres.start(data, free_port(), durable=False)
    query(first, "CREATE TABLE kept AS SELECT 'ÄÖÜ' AS text")
    first.stop()
    assert first.process.returncode == 0
    second = postgres.start(data, free_port())
    try:
        assert query(second, "SELECT text, lower(text) FROM kept") == [("ÄÖÜ", "äöü")]
        assert query(second, "SHOW fsync") == [("on",)]
        assert query(second, "SHOW listen_addresses") == [("127.0.0.1",)]
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(re.sub(r":[^:@]+@", ":wrong@", second.url))
    finally:
        second.stop()
    assert data.with_name("server.password").stat().st_mode & 0o777 == 0o600


@requires_root
def test_root_runs_postgres_as_nobody(data: Path) -> None:
    server = postgres.start(data, free_port(), durable=False)
    try:
        assert Path(f"/proc/{server.process.pid}").stat().st_uid == NOBODY
        assert query(server, "SHOW fsync") == [("off",)]
    finally:
        server.stop()


@requires_root
def test_root_does_not_take_over_the_database_of_another_user(data: Path) -> None:
    postgres.start(data, free_port(), durable=False).stop()
    os.chown(data, 1000, 1000)
    with pytest.raises(DevServerError, match="has wrong ownership"):
        postgres.start(data, free_port(), durable=False)
    assert data.stat().st_uid == 1000


def test_postgres_starts_after_an_interrupted_initdb(data: Path) -> None:
    # The process pauses when initdb exits (SIGCHLD), so it is always killed before it renames the directory.
    code = """if True:
        import signal, sys
        from pathlib import Path
        from devserver import postgres
        signal.signal(signal.SIGCHLD, lambda *_: signal.pause())
        postgres.start(Path(sys.argv[1]), 1)
    """
    draft = data.with_name("server.new")
    starter = spawn([sys.executable, "-c", code, data], cwd=ROOT)
    wait_until((draft / "PG_VERSION").exists)
    family = descendants(starter.pid)
    starter.kill()
    starter.wait()
    wait_until(lambda: all_exited(family))
    assert not data.exists()
    server = postgres.start(data, free_port(), durable=False)
    server.stop()
    assert not draft.exists()


def test_postgres_refuses_a_database_of_another_major_version(data: Path) -> None:
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(DevServerError) as error:
        postgres.start(data, free_port())
    assert str(error.value) == (
        f"{data} is a database of PostgreSQL 16, but PostgreSQL 18 is installed. To start with an empty database, move "
        "the directory. To keep the data, dump it with pg_dump of PostgreSQL 16 and restore it with psql."
    )


def test_postgres_refuses_a_directory_with_other_files(data: Path) -> None:
    data.mkdir()
    (data / "thesis.txt").write_text("ten years")
    with pytest.raises(DevServerError) as error:
        postgres.start(data, free_port())
    assert str(error.value) == (
        f"{data} contains files, but no PostgreSQL database. Move the files, or choose another directory."
    )
    assert (data / "thesis.txt").read_text() == "ten years"


def test_a_wrong_password_file_is_an_error_and_stops_postgres(data: Path) -> None:
    postgres.start(data, free_port(), durable=False).stop()
    data.with_name("server.password").unlink()
    server = postgres.launch(data, free_port(), durable=False)
    with pytest.raises(DevServerError) as error:
        server.wait()
    assert str(error.value) == (
        f"PostgreSQL rejects the password in {data}.password. Restore the original file, or delete {data} to start "
        "with an empty database."
    )
    assert server.process.returncode == 0


def test_postgres_starts_with_a_stale_pid_file_whose_pid_was_reused(data: Path) -> None:
    server = postgres.start(data, free_port(), durable=False)
    pid_file = data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    other_process = spawn(["sleep", "60"], unprivileged=True)
    pid_file.write_text("\n".join([str(other_process.pid), *lines[1:6]]) + "\n")
    try:
        again = postgres.start(data, free_port(), durable=False)
        assert query(again, "SELECT 1") == [(1,)]
        assert other_process.poll() is None
        again.stop()
    finally:
        other_process.kill()
        other_process.wait()


def test_postgres_startup_error_shows_the_log(data: Path) -> None:
    postgres.start(data, free_port(), durable=False).stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(DevServerError) as error:
            postgres.start(data, port)
    assert str(error.value).startswith(f"PostgreSQL exited with status 1. Last lines of {data}.log:\n")
    assert "Address already in use" in str(error.value)


# --- Valkey --------------------------------------------------------------------------------------


def test_valkey_keeps_its_data_across_restarts_and_requires_a_password(data: Path) -> None:
    first = valkey.start(data, free_port())
    with redis.Redis.from_url(first.url) as client:
        client.set("kept", "yes")
    first.stop()
    assert first.process.returncode == 0
    port = free_port()
    second = valkey.start(data, port)
    try:
        with redis.Redis.from_url(second.url) as client:
            assert client.get("kept") == b"yes"
        with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        assert b"requirepass" not in Path(f"/proc/{second.process.pid}/cmdline").read_bytes()
    finally:
        second.stop()
    assert data.with_name("server.password").stat().st_mode & 0o777 == 0o600


def test_valkey_without_durability_writes_no_files(data: Path) -> None:
    server = valkey.start(data, free_port(), durable=False)
    with redis.Redis.from_url(server.url) as client:
        client.set("lost", "yes")
    server.stop()
    assert list(data.iterdir()) == []


# --- make run ------------------------------------------------------------------------------------


@contextmanager
def running(directory: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """Run `make run` over `directory`/data; yield the process and the files with its stdout and its stderr."""
    directory.mkdir(exist_ok=True)
    out, err = directory / f"{port}.out", directory / f"{port}.err"
    command = [sys.executable, "-m", "devserver.run", "--port", str(port), "--data", str(directory / "data")]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=stderr)
    try:
        yield process, out, err
    finally:
        family = descendants(process.pid)
        process.terminate()
        process.wait(60)
        wait_until(lambda: all_exited(family))


def wait_for(process: subprocess.Popen[bytes], out: Path, line: str) -> None:
    wait_until(lambda: process.poll() is not None or re.search(f"^{line}", out.read_text(), re.MULTILINE))
    assert process.poll() is None, out.read_text()


def test_run_stops_all_processes_on_sigterm_and_locks_its_data(data: Path) -> None:
    port = free_port()
    with running(data, port) as (process, out, _):
        wait_for(process, out, rf"Ready +http://127\.0\.0\.1:{port} ")
        family = descendants(process.pid)
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        metrics = re.search(r"^Exporter +(\S+)", out.read_text(), re.MULTILINE)
        assert metrics
        wait_until(lambda: answers(metrics[1]))

        # The environment file lets another shell run commands on this service.
        command = f"set -e; . '{data}/data/environment'; '{sys.executable}' manage.py createsuperuser --noinput"
        superuser = {f"DJANGO_SUPERUSER_{name}": "ada@example.org" for name in ("USERNAME", "EMAIL", "PASSWORD")}
        made = subprocess.run(
            ["sh", "-c", command], cwd=ROOT, env=os.environ | superuser, check=True, capture_output=True, text=True
        )
        assert made.stdout == "Superuser created successfully.\n"
        assert (data / "data/environment").stat().st_mode & 0o777 == 0o600

        with running(data, free_port()) as (second, second_out, second_err):
            assert second.wait(60) == 1
            assert second_out.read_text() == ""
            assert second_err.read_text() == (
                f"{data}/data is in use by another run (process {process.pid}, http://127.0.0.1:{port}). "
                "Stop that run first.\n"
            )

        # PostgreSQL and its processes, Valkey, Gunicorn and 2 workers, the exporter, Celery and 2 processes, Beat.
        assert len(family) > 10
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        wait_until(lambda: all_exited(family))


def test_run_reports_a_killed_child_and_stops_the_others(data: Path) -> None:
    with running(data, free_port()) as (process, out, err):
        wait_for(process, out, "Ready ")
        family = descendants(process.pid)
        [beat] = [pid for pid in family if command(pid).endswith(b"\0beat\0")]
        os.kill(beat, signal.SIGKILL)
        assert process.wait(60) == 1
        assert err.read_text().splitlines()[-1] == "Beat exited with status -9. See its output above."
        wait_until(lambda: all_exited(family))


def test_a_killed_run_leaves_no_processes_and_the_next_run_keeps_its_data(data: Path) -> None:
    with running(data, free_port()) as (process, out, _):
        wait_for(process, out, "Ready ")
        family = descendants(process.pid)
        secret = (data / "data" / "secret_key").read_text()
        process.kill()
        process.wait()
        # The servers of the first run are still shutting down.
        with running(data, free_port()) as (second, second_out, _):
            wait_for(second, second_out, "Ready ")
            wait_until(lambda: all_exited(family))
            assert (data / "data" / "secret_key").read_text() == secret
            second.send_signal(signal.SIGHUP)
            assert second.wait(60) == 0


@pytest.mark.parametrize("part", ["PostgreSQL", "Valkey", "Migrations", "Beat"])
def test_run_can_be_stopped_during_startup(data: Path, part: str) -> None:
    with running(data, free_port()) as (process, out, err):
        wait_for(process, out, part)
        family = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, err.read_text()
        wait_until(lambda: all_exited(family))


def test_run_reports_a_port_that_is_in_use(data: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with running(data, port) as (process, out, err):
            assert process.wait(60) == 1
            assert out.read_text() == ""
            assert err.read_text() == (
                f"Cannot listen on 127.0.0.1:{port} ([Errno 98] Address already in use). "
                "Choose another port: PORT=8010 make run\n"
            )
