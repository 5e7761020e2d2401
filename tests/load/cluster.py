"""`python -m tests.load.cluster`: what the chart costs on the current cluster; for `make bench-cluster`."""

import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.cluster.cluster import CHART, Release, image, run, until

CONNECTIONS, SECONDS, ROUNDS = 32, 10, 3


def main() -> int:
    if not shutil.which("wrk"):
        raise SystemExit("The bench needs wrk, since a client in Python would measure itself: apt install wrk")
    release = Release()
    try:
        limits: dict[str, Any] = {
            "web__resources": {
                "requests": {"cpu": "100m", "memory": "256Mi"},
                "limits": {"cpu": "2", "memory": "512Mi"},
            }
        }
        print(f"render: {spread(lambda: render(release))}")
        print(f"install to ready: {seconds(lambda: release.install(**limits)):.1f} s")
        good = image("bench", "USER 0\nRUN touch /app/bench\nUSER 10001:10001\n")
        print(f"upgrade to another image: {seconds(lambda: release.install(image__tag=good, **limits)):.1f} s")
        memory(release, "at rest")
        for path in ("/accounts/login/", "/livez"):
            for number in range(ROUNDS):
                print(f"{path} round {number + 1}: {load(release, path)}")
        memory(release, "after the load")
    finally:
        release.remove()
    return 0


def seconds(action: Callable[[], Any]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def spread(action: Callable[[], Any]) -> str:
    times = [seconds(action) for _ in range(5)]
    return f"min {min(times):.2f} s, median {statistics.median(times):.2f} s, max {max(times):.2f} s"


def render(release: Release) -> None:
    seed = {"secrets.mode": "seed", "secrets.seed": "5eed" * 16}
    run("helm", "template", release.name, str(CHART), *release.flags(seed))


def load(release: Release, path: str) -> str:
    """Requests a second and p99 through the TLS ingress, by a client on the same machine."""
    command = ("wrk", "--threads", "2", "--connections", str(CONNECTIONS), "--duration", f"{SECONDS}s", "--latency")
    output = run(*command, "--header", f"Host: {release.host}", f"https://127.0.0.1{path}").stdout
    rate, slowest = re.search(r"Requests/sec:\s+(\S+)", output), re.search(r"99%\s+(\S+)", output)
    assert rate
    assert slowest
    errors = "".join(line.strip() for line in output.splitlines() if "Non-2xx" in line or "Socket errors" in line)
    return f"{rate[1]} requests/s, p99 {slowest[1]}, {CONNECTIONS} connections {errors}"


def memory(release: Release, when: str) -> None:
    """Of each container, as the metrics server saw it last; it looks every 15 s."""
    time.sleep(35)

    def usage() -> str:
        command = ("kubectl", "top", "pod", "--containers", "--no-headers", "--namespace", release.namespace)
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    print(f"memory {when}:\n{until(usage, 60, 'the metrics server knows the pods')}")


if __name__ == "__main__":
    sys.exit(main())
