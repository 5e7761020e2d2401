"""Validates the rendered objects with the API server."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.support import ROOT
from tests.support.cluster import Release, run
from tests.support.render import BASE, CHART
from tests.support.values import combinations

# Custom resources of operators and of the Gateway API, which a cluster may lack.
CUSTOM = {"Cluster", "Pooler", "ScheduledBackup", "ScaledObject", "ExternalSecret", "PodMonitor", "HTTPRoute"}


def test_api_server_accepts_every_combination_of_modes_and_every_sample(empty: Release) -> None:
    seeded = [BASE | values for values in combinations()]
    # Mode `generate` looks up the Secret in the cluster, so only this test can render it.
    generated = [values | {"secrets.mode": "generate"} for values in seeded if values["secrets.mode"] == "seed"]
    flag_sets = [
        *(empty.flags(values) for values in seeded),
        *(["--dry-run=server", *empty.flags(values)] for values in generated),
        *(["--values", str(ROOT / "k8s/values" / sample)] for sample in ("production.yaml", "gitops.yaml")),
        ["--dry-run=server", "--values", str(ROOT / "k8s/values/local.yaml")],
    ]

    def documents(flags: list[str]) -> list[str]:
        template = ("helm", "template", empty.name, str(CHART), "--namespace", empty.namespace)
        return run(*template, *flags).stdout.split("\n---\n")

    with ThreadPoolExecutor() as pool:
        rendered = list(pool.map(documents, flag_sets))
        # The API server rejects a Pod, such as that of `helm test`, without its ServiceAccount.
        empty.kubectl("create", "serviceaccount", f"{empty.name}-app")
        # Each distinct object is validated once.
        distinct = sorted({document for output in rendered for document in output})
        kinds = {document: str(yaml.safe_load(document)["kind"]) for document in distinct}
        known = {line.split()[-1] for line in run("kubectl", "api-resources", "--no-headers").stdout.splitlines()}
        distinct = [document for document in distinct if kinds[document] not in CUSTOM - known]
        parts = ["\n---\n".join(distinct[part::4]) for part in range(4)]
        apply = ("kubectl", "--namespace", empty.namespace, "apply", "--server-side", "--dry-run=server")
        applied = list(pool.map(lambda part: run(*apply, "--validate=strict", "--filename", "-", stdin=part), parts))

    assert [done.stderr for done in applied] == [""] * 4
    assert sum(len(done.stdout.splitlines()) for done in applied) == len(distinct)
    if unknown := CUSTOM - known:
        pytest.skip(f"accepted, without the kinds that the cluster lacks: {', '.join(sorted(unknown))}")


def test_api_server_accepts_the_manifests_of_traefik(empty: Release) -> None:
    manifests = (ROOT / "k8s" / "cluster" / "traefik.yaml").read_text()
    # A dry run needs an existing namespace.
    manifests = manifests.replace("namespace: traefik", f"namespace: {empty.namespace}")

    done = run("kubectl", "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifests)

    assert len(done.stdout.splitlines()) == manifests.count("\nkind: ")
