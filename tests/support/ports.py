"""Unique ports for the servers of the tests, below Linux's ephemeral range (32768 and up).

In that range, outgoing connections of other tests, also in TIME_WAIT, could occupy a port.
"""

import itertools
import socket
from contextlib import suppress


def _reserve_range() -> socket.socket:
    """Bind the first port of a range of 500, which reserves the range for this test process."""
    for first in range(20_000, 30_000, 500):
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", first))
    raise RuntimeError("All 20 port ranges are reserved by running test processes. Stop some of them.")


_reservation = _reserve_range()
_ports = itertools.count(int(_reservation.getsockname()[1]) + 1)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is not in use and that no other test gets."""
    port = next(_ports)
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return free_port()
    return port
