"""Serves the metric files of PROMETHEUS_MULTIPROC_DIR at METRICS_PORT (default 8002): `python -m …exporter`.

A process of its own, so that a scrape needs no thread of the service; without Django, so that it is small.
"""

import os
import signal
import socket
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector


def main() -> None:
    """Runs until SIGTERM or SIGINT; SystemExit with the remedy where the folder is missing."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
    port = os.environ.get("METRICS_PORT", "8002")
    if not port.isdecimal():
        raise SystemExit("METRICS_PORT is not a port number.")
    if not Path(folder).is_dir():
        raise SystemExit("PROMETHEUS_MULTIPROC_DIR is not a folder. Name the one that the service writes to.")
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before a thread is made, so that all of them inherit it
    everywhere = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 # a pod's own port
    server, thread = start_http_server(int(port), os.environ.get("METRICS_HOST", everywhere), registry)
    signal.sigwait(ends)
    server.shutdown()
    thread.join()


if __name__ == "__main__":
    main()
