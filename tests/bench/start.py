"""Measures the startup time of `make run`, with an empty data directory and with data: `make bench`."""

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import ROOT
from tests.support.ports import free_port

RUNS = 5


def main() -> int:
    with tempfile.TemporaryDirectory() as data:
        first, *warm = (start(Path(data)) for _ in range(RUNS + 1))
    print(f"first start, empty data directory: {first:.2f} s")
    low, median, high = min(warm), statistics.median(warm), max(warm)
    print(f"later starts, {RUNS} runs: min {low:.2f} s, median {median:.2f} s, max {high:.2f} s")
    return 0 if median <= 5 else 1


def start(data: Path) -> float:
    """Run the service and return the seconds until it prints Ready."""
    started = time.monotonic()
    command = [sys.executable, "-m", "devserver.run", "--data", str(data), "--port", str(free_port())]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout
        ready = next((time.monotonic() for line in run.stdout if line.startswith("Ready")), None)
        run.send_signal(signal.SIGTERM)
        run.stdout.read()
    if ready is None or run.returncode:
        raise SystemExit(f"`make run` did not become ready, or exited with status {run.returncode}.")
    return ready - started


if __name__ == "__main__":
    sys.exit(main())
