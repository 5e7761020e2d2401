"""The API server's word on what the chart renders."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.support import ROOT
from tests.support.cluster import Release, run
from tests.support.render import BASE, CHART
from tests.support.values import combinations

# Those of operators and of the Gateway API: a cluster may not know them.
CUSTOM = {"Cluster", "Pooler", "ScheduledBackup", "ScaledObject", "ExternalSecret", "PodMonitor", "HTTPRoute"}


def test_rendered_every_combination_of_modes_and_every_sample_is_accepted_by_the_cluster(empty: Release) -> None:
    """Every object that the chart can make, checked by the API server against its own schema."""
    seeded = [BASE | values for values in combinations()]
    # Made here alone: it asks the cluster for the secrets that are there.
    generated = [values | {"secrets.mode": "generate"} for values in seeded if values["secrets.mode"] == "seed"]
    chosen = [
        *(empty.flags(values) for values in seeded),
        *(["--dry-run=server", *empty.flags(values)] for values in generated),
        *(["--values", str(ROOT / "k8s/values" / sample)] for sample in ("production.yaml", "gitops.yaml")),
        ["--dry-run=server", "--values", str(ROOT / "k8s/values/local.yaml")],
    ]

    def documents(flags: list[str]) -> list[str]:
        template = ("helm", "template", empty.name, str(CHART), "--namespace", empty.namespace)
        return run(*template, *flags).stdout.split("\n---\n")

    with ThreadPoolExecutor() as pool:
        rendered = list(pool.map(documents, chosen))
        # A pod, as that of `helm test`, is admitted for a service account that exists.
        empty.kubectl("create", "serviceaccount", f"{empty.name}-app")
        # What many combinations have in common is asked about once.
        distinct = sorted({document for made in rendered for document in made})
        kinds = {document: str(yaml.safe_load(document)["kind"]) for document in distinct}
        known = {line.split()[-1] for line in run("kubectl", "api-resources", "--no-headers").stdout.splitlines()}
        distinct = [document for document in distinct if kinds[document] not in CUSTOM - known]
        parts = ["\n---\n".join(distinct[part::4]) for part in range(4)]
        apply = ("kubectl", "--namespace", empty.namespace, "apply", "--server-side", "--dry-run=server")
        applied = list(pool.map(lambda part: run(*apply, "--validate=strict", "--filename", "-", stdin=part), parts))

    assert [done.stderr for done in applied] == [""] * 4
    assert sum(len(done.stdout.splitlines()) for done in applied) == len(distinct)
    if unknown := CUSTOM - known:
        pytest.skip(f"all but {', '.join(sorted(unknown))}, which the cluster doesn't know, is accepted")


def test_ingress_controller_of_kind_is_accepted_by_the_cluster(empty: Release) -> None:
    manifests = (ROOT / "k8s" / "cluster" / "traefik.yaml").read_text()
    # A dry run needs a namespace that is there.
    manifests = manifests.replace("namespace: traefik", f"namespace: {empty.namespace}")

    done = run("kubectl", "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifests)

    assert len(done.stdout.splitlines()) == manifests.count("\nkind: ")
