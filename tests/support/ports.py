"""Ports for the servers of the tests, each given once, and the next one to nobody, since `make run` takes both.

They lie below those that Linux gives to clients, whose connections, even closed ones, would be in the way.
"""

import itertools
import socket
from contextlib import suppress


def _slice() -> socket.socket:
    """Its port is held for good, so that no other process of tests takes those that follow."""
    for first in range(20_000, 30_000, 500):
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", first))
    raise RuntimeError("Twenty processes of tests are running already.")


_held = _slice()
_ports = itertools.count(int(_held.getsockname()[1]) + 2, 2)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on and no other test is given."""
    port = next(_ports)
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return free_port()
    return port
