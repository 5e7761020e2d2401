"""The Prometheus of `make kind` discovers the pods by their annotations."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support import ROOT
from tests.support.cluster import Release, run, wait_until

MANIFESTS = str(ROOT / "k8s" / "cluster" / "prometheus.yaml")


@pytest.fixture
def prometheus() -> Iterator[None]:
    """Install Prometheus for this test, if the cluster has none."""
    installed = run("kubectl", "get", "namespace", "prometheus", check=False).returncode == 0
    run("kubectl", "apply", "--server-side", "--filename", MANIFESTS)
    run("kubectl", "--namespace", "prometheus", "rollout", "status", "deployment/prometheus", "--timeout=300s")
    yield
    if not installed:
        run("kubectl", "delete", "--filename", MANIFESTS)


@pytest.mark.usefixtures("prometheus")
def test_prometheus_scrapes_every_pod_and_counts_each_request_once(release: Release) -> None:
    release.install()
    name = ("--output", "jsonpath={.items[-1].metadata.name}")
    pod = run("kubectl", "--namespace", "prometheus", "get", "pods", *name).stdout

    def values(query: str) -> dict[str, float]:
        """Returns the query's values by component; `@` stands for the release's namespace."""
        query = quote(query.replace("@", f'namespace="{release.namespace}"'))
        path = f"/api/v1/namespaces/prometheus/pods/{pod}:9090/proxy/api/v1/query?query={query}"
        results = json.loads(run("kubectl", "get", "--raw", path).stdout)["data"]["result"]
        return {result["metric"].get("component", ""): float(result["value"][1]) for result in results}

    def requests_counted() -> float:
        total = "django_http_requests_total_by_view_transport_method_total"
        return values(f'sum({total}{{@, view="accounts:sign_up", method="GET"}})').get("", 0.0)

    up = {"web": 1.0, "worker": 1.0, "beat": 1.0}
    # Terminated pods have the value 0.
    wait_until(lambda: values("count by (component) (up{@} == 1)") == up, "web, worker and beat are scraped", 120)
    before = requests_counted()
    session = release.session()
    for _ in range(100):
        session.get(f"{release.url}/accounts/sign-up/")
    wait_until(lambda: requests_counted() - before == 100, "exactly 100 requests are counted", 60)
    reports = 'sum by (component) (celery_beat_tasks_total{@, task=~".*report.*"})'
    assert wait_until(lambda: values(reports), "Beat's tasks are counted")["beat"] >= 1
