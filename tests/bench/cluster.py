"""Measures the chart on the current cluster: `make bench-cluster`."""

import json
import re
import secrets
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.support.cluster import CHART, REGISTRY, TAG, Release, build_image, run, wait_until
from tests.support.ports import free_port
from tests.support.processes import answers

SERVICE = f"{REGISTRY}/service:{TAG}"
CONNECTIONS, SECONDS, ROUNDS = 32, 10, 3
COMPONENTS = ("web", "worker", "beat", "postgres", "valkey")


def main() -> int:
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed. A client in Python would be too slow. Install it: apt install wrk")
    print(f"image size without its base: {layers() / 1_000_000:.0f} MB")
    print(f"container start to the first response: {spread(first_response)}")
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
        good = build_image("bench", "USER 0\nRUN touch /app/bench\nUSER 10001:10001\n")
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


def layers() -> int:
    """Return the size in bytes of the layers that the Dockerfile adds to its base image."""
    history = run("docker", "history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", SERVICE).stdout
    added = [line.split(maxsplit=1) for line in history.splitlines() if "buildkit" in line]
    return sum(int(size) for size, _ in added)


def first_response() -> None:
    """Start a container without a database and wait until /livez responds."""
    environment = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DJANGO_ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1",
        "GUNICORN_BIND": f"127.0.0.1:{free_port()}",
        "WEB_CONCURRENCY": "2",
    }
    options = [f"--env={name}={value}" for name, value in environment.items()]
    name = run(
        "docker", "run", "--detach", "--rm", "--read-only", "--network", "host", *options, SERVICE
    ).stdout.strip()
    try:
        wait_until(lambda: answers(f"http://{environment['GUNICORN_BIND']}/livez"), "the container responds", 30)
    finally:
        run("docker", "kill", name)


def render(release: Release) -> None:
    seed = {"secrets.mode": "seed", "secrets.seed": "5eed" * 16}
    run("helm", "template", release.name, str(CHART), *release.flags(seed))


def load(release: Release, path: str) -> str:
    """Measure requests per second and p99 latency through the TLS ingress from the same machine."""
    command = ("wrk", "--threads", "2", "--connections", str(CONNECTIONS), "--duration", f"{SECONDS}s", "--latency")
    output = run(*command, "--header", f"Host: {release.host}", f"https://127.0.0.1{path}").stdout
    rate, slowest = re.search(r"Requests/sec:\s+(\S+)", output), re.search(r"99%\s+(\S+)", output)
    assert rate
    assert slowest
    errors = "".join(line.strip() for line in output.splitlines() if "Non-2xx" in line or "Socket errors" in line)
    return f"{rate[1]} requests/s, p99 {slowest[1]}, {CONNECTIONS} connections {errors}"


def memory(release: Release, when: str) -> None:
    """Print the memory of each container from the next scrape of metrics-server, which scrapes every 15 s."""
    since = datetime.now(UTC)

    def scraped() -> bool:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{release.namespace}/pods"
        pods = json.loads(run("kubectl", "get", "--raw", path).stdout)["items"]
        times = {pod["metadata"]["name"]: datetime.fromisoformat(pod["timestamp"]) for pod in pods}
        return all(since < times.get(release.pod(component), since) for component in COMPONENTS)

    wait_until(scraped, "metrics-server has scraped the pods")
    print(f"memory {when}:\n{release.kubectl('top', 'pod', '--containers', '--no-headers')}")


if __name__ == "__main__":
    sys.exit(main())
