"""`python -m tests.bench.peers`: the chart's pod beside its alternatives, for `make bench-peers`.

One plain project in one image, served by nginx and Gunicorn as the chart does, by Gunicorn's sync workers and by
Granian. Each has the same CPU limit, and all have one PostgreSQL. wrk loads one server at a time, in turns, so that a
slow minute of the machine is slow for all of them. Exits 1 when a goal is missed.
"""

import json
import re
import shutil
import sys
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import Any

import requests

from tests.support import plain
from tests.support.cluster import INGRESS, Release, run, stylesheet, wait_until

CONNECTIONS, ROUNDS = 64, 5
WARM_UP, SECONDS = 1, 4
CPUS = "2"
OURS = "chart"


@dataclass
class Peer:
    command: list[str]
    environment: dict[str, str]


# Without nginx: Gunicorn's default worker class with a database connection for each request, and Granian with a worker
# for each CPU, as its documentation advises, which serves the files itself.
PEERS = {
    "sync": Peer(["gunicorn", "--bind", ":8080", "--workers", "4", "plain.wsgi:application"], {"CONN_MAX_AGE": "0"}),
    "granian": Peer(
        [
            *("granian", "--interface", "wsgi", "--host", "::", "--port", "8080", "--workers", CPUS),
            *("--blocking-threads", "4", "--static-path-route", "/static", "--static-path-mount", "/site/static"),
            "plain.wsgi:application",
        ],
        {},
    ),
}
# By page and peer: the least ratio of our requests per second to the peer's.
GOALS = {
    "query": {"granian": 0.9, "sync": 8.0},
    "login": {"granian": 1.0, "sync": 1.0},
    "file": {"granian": 2.0},
}
# The greatest ratio of our p99 to the best of the three.
P99_GOAL = 1.2


@dataclass
class Result:
    rate: float  # requests per second
    p99: float  # milliseconds


def main() -> int:
    if not shutil.which("wrk"):
        raise SystemExit("The bench needs wrk, since a client in Python would measure itself: apt install wrk")
    tag = plain.build()
    release = Release()
    try:
        urls = deploy(release, tag)
        pages = check(release, urls)
        results: dict[tuple[str, str], list[Result]] = defaultdict(list)
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", flush=True)
            for page, path in pages.items():
                for server, url in urls.items():
                    load(release, url + path, WARM_UP)
                    results[page, server].append(load(release, url + path, SECONDS))
        return report(list(pages), list(urls), results)
    finally:
        release.remove()


def deploy(release: Release, tag: str) -> dict[str, str]:
    """Installs the chart and its peers; returns each server's URL."""
    limits = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": CPUS, "memory": "512Mi"}}
    release.install(
        **plain.VALUES,
        image__tag=tag,
        web__service__type="NodePort",
        web__resources=limits,
        nginx__resources=limits,
        networkPolicy__enabled=False,  # the peers are no part of the release, and use its database
    )
    pod = release.get("deployment", f"{release.name}-web")["spec"]["template"]["spec"]
    for name, peer in PEERS.items():
        release.kubectl("apply", "--filename", "-", stdin=json.dumps(objects(name, peer, pod, limits)))
    for name in PEERS:
        release.kubectl("rollout", "status", f"deployment/{name}", "--timeout=180s")
    services = {OURS: f"{release.name}-web"} | {name: name for name in PEERS}
    ports = {
        name: release.get("service", service)["spec"]["ports"][0]["nodePort"] for name, service in services.items()
    }
    return {name: f"http://{INGRESS}:{port}" for name, port in ports.items()}


def objects(name: str, peer: Peer, pod: Any, limits: dict[str, Any]) -> dict[str, Any]:
    """A Deployment and a Service of the release's image and environment, with a command of its own."""
    web = next(container for container in pod["containers"] if container["name"] == "web")
    own = [{"name": key, "value": value} for key, value in peer.environment.items()]
    container = {
        "name": name,
        "command": peer.command,
        "image": web["image"],
        "imagePullPolicy": web["imagePullPolicy"],
        "env": [variable for variable in web["env"] if variable["name"] not in peer.environment] + own,
        "resources": limits,
        "securityContext": web["securityContext"],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 # a volume of the pod
    }
    labels = {"app.kubernetes.io/name": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "containers": [container],
            "securityContext": pod["securityContext"],
            "enableServiceLinks": False,
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {"selector": {"matchLabels": labels}, "template": template},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"type": "NodePort", "selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
            },
        ],
    }


def check(release: Release, urls: dict[str, str]) -> dict[str, str]:
    """The path of each page, after every server has answered it with 200 and a body of the same length."""
    session = release.session()
    session.headers.update({"Host": release.host, "Accept-Encoding": "identity"})  # as wrk asks
    for number in range(10):
        posted = session.post(f"{urls[OURS]}/notes/", {"text": f"note {number}"}, timeout=10)
        assert posted.status_code == 201, posted.text
    pages = {"json": "/json/", "query": "/notes/", "login": "/admin/login/"}
    pages["file"] = stylesheet(ask(session, urls[OURS] + pages["login"]).text)
    for page, path in pages.items():
        sizes = {server: len(ask(session, url + path).content) for server, url in urls.items()}
        assert len(set(sizes.values())) == 1, f"{path}: bodies of different lengths: {sizes}"
        print(f"{page}: {path}, {sizes[OURS]} bytes")
    return pages


def ask(session: requests.Session, url: str) -> requests.Response:
    answer = wait_until(lambda: session.get(url, timeout=10), f"{url} answers")
    assert answer.status_code == 200, f"{url}: {answer.status_code}"
    return answer


def load(release: Release, url: str, seconds: int) -> Result:
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--latency"]
    output = run(*command, "--timeout", "30s", "--header", f"Host: {release.host}", url).stdout
    assert "Non-2xx" not in output, f"{url}: {output}"
    assert "Socket errors" not in output, f"{url}: {output}"
    rate, p99 = re.search(r"Requests/sec:\s+(\S+)", output), re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    assert rate, output
    assert p99, output
    return Result(float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]])


def report(pages: list[str], servers: list[str], results: dict[tuple[str, str], list[Result]]) -> int:
    """Prints the table and the missed goals; returns the exit status. A ratio is the median of those of each round."""

    def ratio(page: str, server: str) -> float:
        pairs = zip(results[page, OURS], results[page, server], strict=True)
        return median(ours.rate / theirs.rate for ours, theirs in pairs)

    print(f"\n{'page':6} {'server':8} {'requests/s':>10} {'min':>7} {'max':>7} {'p99 ms':>7}  {OURS} / server")
    missed = []
    for page in pages:
        for server in servers:
            rates = [result.rate for result in results[page, server]]
            p99 = median(result.p99 for result in results[page, server])
            print(
                f"{page:6} {server:8} {median(rates):10.0f} {min(rates):7.0f} {max(rates):7.0f} {p99:7.1f}"
                + ("" if server == OURS else f"  {ratio(page, server):.2f}")
            )
        for server, goal in GOALS.get(page, {}).items():
            if ratio(page, server) < goal:
                missed.append(f"{page}: {ratio(page, server):.2f} of {server}'s requests/s, the goal is {goal:g}")
        best = [min(results[page, server][number].p99 for server in servers) for number in range(ROUNDS)]
        slower = median(ours.p99 / fastest for ours, fastest in zip(results[page, OURS], best, strict=True))
        if slower > P99_GOAL:
            missed.append(f"{page}: {slower:.2f} times the best p99, the goal is {P99_GOAL:g}")
    print("\n".join(["", *(f"missed: {goal}" for goal in missed)] if missed else ["", "Every goal is met."]))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
