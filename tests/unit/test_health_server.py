"""The socket of the health listener."""

import socket

import pytest

from mainstay import health_server


def test_listener_waits_whatever_the_default_timeout_of_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTH_BIND", "127.0.0.1:0")
    socket.setdefaulttimeout(0.1)
    try:
        listener = health_server.listen()
    finally:
        socket.setdefaulttimeout(None)

    assert listener
    with listener:
        assert listener.gettimeout() is None
