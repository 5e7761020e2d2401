"""A real Prometheus, that of `make kind`, finds the pods by what the chart says of them."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support import ROOT
from tests.support.cluster import Release, run, until

MANIFESTS = str(ROOT / "k8s" / "cluster" / "prometheus.yaml")


@pytest.fixture
def prometheus() -> Iterator[None]:
    """Where the cluster has none, it is there for this test."""
    here = run("kubectl", "get", "namespace", "prometheus", check=False).returncode == 0
    run("kubectl", "apply", "--server-side", "--filename", MANIFESTS)
    run("kubectl", "--namespace", "prometheus", "rollout", "status", "deployment/prometheus", "--timeout=300s")
    yield
    if not here:
        run("kubectl", "delete", "--filename", MANIFESTS)


@pytest.mark.usefixtures("prometheus")
def test_every_pod_is_scraped_and_totals_are_the_requests_sent(release: Release) -> None:
    release.install()
    name = ("--output", "jsonpath={.items[-1].metadata.name}")
    pod = run("kubectl", "--namespace", "prometheus", "get", "pods", *name).stdout

    def ask(query: str) -> dict[str, float]:
        """The query's values by component; `@` is the release's namespace."""
        query = quote(query.replace("@", f'namespace="{release.namespace}"'))
        path = f"/api/v1/namespaces/prometheus/pods/{pod}:9090/proxy/api/v1/query?query={query}"
        results = json.loads(run("kubectl", "get", "--raw", path).stdout)["data"]["result"]
        return {result["metric"].get("component", ""): float(result["value"][1]) for result in results}

    def sent() -> float:
        total = "django_http_requests_total_by_view_transport_method_total"
        return ask(f'sum({total}{{@, view="accounts:sign_up", method="GET"}})').get("", 0.0)

    up = {"web": 1.0, "worker": 1.0, "beat": 1.0}
    # A pod that has ended is down.
    until(lambda: ask("count by (component) (up{@} == 1)") == up, "web, worker and beat are scraped", 120)
    before = sent()
    session = release.session()
    for _ in range(100):
        session.get(f"{release.url}/accounts/sign-up/")
    until(lambda: sent() - before == 100, "the hundred requests are counted, each once", 60)
    reports = 'sum by (component) (celery_beat_tasks_total{@, task=~".*report.*"})'
    assert until(lambda: ask(reports), "Beat's tasks are counted")["beat"] >= 1
