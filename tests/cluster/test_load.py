"""Clients that are slow and many, while others are served."""

import contextlib
import socket
import ssl
import statistics
import time

from tests.cluster.cluster import Release


def p99(release: Release, requests: int = 150, rate: float = 15) -> float:
    """The 99th percentile of the login page's seconds at a constant rate."""
    session = release.session()
    started, seconds = time.monotonic(), []
    for turn in range(requests):
        time.sleep(max(0.0, started + turn / rate - time.monotonic()))
        asked = time.monotonic()
        assert session.get(f"{release.url}/accounts/login/").status_code == 200
        seconds.append(time.monotonic() - asked)
    return statistics.quantiles(seconds, n=100)[98]


def test_slow_clients_slow_nobody_else(release: Release) -> None:
    p99(release)  # warm
    quiet = p99(release)
    head = f"POST /accounts/login/ HTTP/1.1\r\nHost: {release.host}\r\nContent-Length: 1000\r\n\r\nx".encode()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.ExitStack() as open_ones:
        for _ in range(200):
            plain = open_ones.enter_context(socket.create_connection((release.host, 443), timeout=10))
            slow = open_ones.enter_context(context.wrap_socket(plain, server_hostname=release.host))
            slow.sendall(head)
        busy = p99(release)
    # Below 50 ms it is the machine that is measured, not the service.
    assert busy <= max(2 * quiet, 0.05)
