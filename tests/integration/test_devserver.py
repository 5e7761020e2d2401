"""The servers of `devserver/` and `make run` itself, as real processes on paths with spaces."""

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

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what only root can do")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where the data of a server is to be: in a folder with a space that nobody else may enter."""
    folder = tmp_path / "mode 700"
    folder.mkdir(mode=0o700)
    return folder / "server"


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


def nothing_remains(family: list[int]) -> bool:
    return not any(alive(pid) for pid in family)


# --- PostgreSQL ----------------------------------------------------------------------------------


def test_postgres_finds_its_data_again(data: Path) -> None:
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


@as_root
def test_root_runs_postgres_as_nobody_over_a_folder_of_another_user(data: Path) -> None:
    postgres.start(data, free_port(), durable=False).stop()
    for path in (data, *data.rglob("*")):
        os.chown(path, 0, 0)
    server = postgres.start(data, free_port(), durable=False)
    try:
        assert Path(f"/proc/{server.process.pid}").stat().st_uid == NOBODY
        assert query(server, "SHOW fsync") == [("off",)]
    finally:
        server.stop()


def test_an_interrupted_initdb_is_never_taken_for_a_database(data: Path) -> None:
    # However slow we are, it is killed before it gives the database its name: when initdb ends, it pauses.
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
    wait_until(lambda: nothing_remains(family))
    assert not data.exists()
    server = postgres.start(data, free_port(), durable=False)
    server.stop()
    assert not draft.exists()


def test_another_major_version_is_refused(data: Path) -> None:
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(DevServerError) as error:
        postgres.start(data, free_port())
    assert str(error.value) == (
        f"{data} holds a database of PostgreSQL 16, but this is PostgreSQL 18, which can't read it. Move it away to "
        "begin with an empty one; to keep what is in it, write it out with pg_dump of version 16 and load it with psql."
    )


def test_a_folder_with_other_files_is_left_alone(data: Path) -> None:
    data.mkdir()
    (data / "thesis.txt").write_text("ten years")
    with pytest.raises(DevServerError) as error:
        postgres.start(data, free_port())
    assert str(error.value) == (f"{data} holds files and no database. Move them, or choose another folder.")
    assert (data / "thesis.txt").read_text() == "ten years"


def test_a_lost_password_is_named_and_ends_the_server(data: Path) -> None:
    postgres.start(data, free_port(), durable=False).stop()
    data.with_name("server.password").unlink()
    server = postgres.launch(data, free_port(), durable=False)
    with pytest.raises(DevServerError) as error:
        server.wait()
    assert str(error.value) == (
        f"The password in {data}.password is not the one of the database in {data}. "
        f"Put the right one back, or delete {data} to begin with an empty database."
    )
    assert server.process.returncode == 0


def test_a_pid_file_that_names_a_stranger_does_not_matter(data: Path) -> None:
    server = postgres.start(data, free_port(), durable=False)
    pid_file = data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    stranger = spawn(["sleep", "60"], unprivileged=True)
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:6]]) + "\n")
    try:
        again = postgres.start(data, free_port(), durable=False)
        assert query(again, "SELECT 1") == [(1,)]
        assert stranger.poll() is None
        again.stop()
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_that_cannot_start_says_why(data: Path) -> None:
    postgres.start(data, free_port(), durable=False).stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(DevServerError) as error:
            postgres.start(data, port)
    assert str(error.value).startswith(f"PostgreSQL ended with status 1. {data}.log says:\n")
    assert "Address already in use" in str(error.value)


# --- Valkey --------------------------------------------------------------------------------------


def test_valkey_finds_its_data_again_and_wants_a_password(data: Path) -> None:
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


def test_valkey_that_is_not_durable_writes_nothing(data: Path) -> None:
    server = valkey.start(data, free_port(), durable=False)
    with redis.Redis.from_url(server.url) as client:
        client.set("lost", "yes")
    server.stop()
    assert list(data.iterdir()) == []


# --- make run ------------------------------------------------------------------------------------


@contextmanager
def running(folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """`make run`'s process over `folder`/data, and the files with what it says on stdout and on stderr."""
    folder.mkdir(exist_ok=True)
    out, err = folder / f"{port}.out", folder / f"{port}.err"
    command = [sys.executable, "-m", "devserver.run", "--port", str(port), "--data", str(folder / "data")]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=stderr)
    try:
        yield process, out, err
    finally:
        family = descendants(process.pid)
        process.terminate()
        process.wait(60)
        wait_until(lambda: nothing_remains(family))


def wait_for(process: subprocess.Popen[bytes], out: Path, line: str) -> None:
    wait_until(lambda: process.poll() is not None or re.search(f"^{line}", out.read_text(), re.MULTILINE))
    assert process.poll() is None, out.read_text()


def test_run_ends_everything_on_sigterm_and_is_alone(data: Path) -> None:
    port = free_port()
    with running(data, port) as (process, out, _):
        wait_for(process, out, rf"Ready +http://127\.0\.0\.1:{port} ")
        family = descendants(process.pid)
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        metrics = re.search(r"^Exporter +(\S+)", out.read_text(), re.MULTILINE)
        assert metrics
        wait_until(lambda: answers(metrics[1]))

        # What it hands out lets a shell run commands beside it.
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
                f"Another run is going on {data}/data: process {process.pid}, http://127.0.0.1:{port}. Stop it first.\n"
            )

        # PostgreSQL, Valkey, Gunicorn and 2 workers, the exporter, Celery and 2 processes, beat, and PostgreSQL's own.
        assert len(family) > 10
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        wait_until(lambda: nothing_remains(family))


def test_run_names_the_child_that_died_and_ends_the_others(data: Path) -> None:
    with running(data, free_port()) as (process, out, err):
        wait_for(process, out, "Ready ")
        family = descendants(process.pid)
        [beat] = [pid for pid in family if command(pid).endswith(b"\0beat\0")]
        os.kill(beat, signal.SIGKILL)
        assert process.wait(60) == 1
        assert err.read_text().splitlines()[-1] == "Beat ended with status -9."
        wait_until(lambda: nothing_remains(family))


def test_a_killed_run_leaves_nothing_and_the_next_finds_its_data(data: Path) -> None:
    with running(data, free_port()) as (process, out, _):
        wait_for(process, out, "Ready ")
        family = descendants(process.pid)
        secret = (data / "data" / "secret_key").read_text()
        process.kill()
        process.wait()
        # At once, while the servers of the first are still ending.
        with running(data, free_port()) as (second, second_out, _):
            wait_for(second, second_out, "Ready ")
            wait_until(lambda: nothing_remains(family))
            assert (data / "data" / "secret_key").read_text() == secret
            second.send_signal(signal.SIGHUP)
            assert second.wait(60) == 0


@pytest.mark.parametrize("part", ["PostgreSQL", "Valkey", "Migrations", "Beat"])
def test_run_can_be_ended_while_it_starts(data: Path, part: str) -> None:
    with running(data, free_port()) as (process, out, err):
        wait_for(process, out, part)
        family = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, err.read_text()
        wait_until(lambda: nothing_remains(family))


def test_run_says_when_the_port_is_taken(data: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with running(data, port) as (process, out, err):
            assert process.wait(60) == 1
            assert out.read_text() == ""
            assert err.read_text() == (
                f"Port {port} of 127.0.0.1 can't be had: Address already in use. Choose another: PORT=8010 make run\n"
            )
