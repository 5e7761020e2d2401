"""Serves the metric files of PROMETHEUS_MULTIPROC_DIR at METRICS_PORT: `python -m mainstay.metrics.exporter`.

It is a separate process, so that a scrape takes no thread of the service, and does not load Django, so that it needs
little memory.
"""

import os
import signal
import socket
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from mainstay.metrics import slots

DEFAULT_PORT = "8002"


class Collector(MultiProcessCollector):
    """The metrics of all processes, without the live gauges of processes that have ended."""

    def __init__(self, registry: CollectorRegistry, directory: str) -> None:
        self.directory = Path(directory)
        super().__init__(registry, directory)

    def collect(self) -> Iterable[Metric]:
        slots.release_dead(self.directory)
        metrics: Iterable[Metric] = super().collect()
        return metrics


def main() -> None:
    """Runs until SIGTERM or SIGINT. SystemExit names a malformed variable."""
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
    port = os.environ.get("METRICS_PORT", DEFAULT_PORT)
    if not port.isdecimal():
        raise SystemExit("METRICS_PORT is not a port number.")
    if not Path(directory).is_dir():
        raise SystemExit("PROMETHEUS_MULTIPROC_DIR is not a directory. Set it to the one that the service writes to.")
    registry = CollectorRegistry()
    Collector(registry, directory)
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before a thread starts, so that every thread inherits it
    everywhere = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 # a pod's own port
    server, thread = start_http_server(int(port), os.environ.get("METRICS_HOST", everywhere), registry)
    signal.sigwait(ends)
    server.shutdown()
    thread.join()


if __name__ == "__main__":
    main()
