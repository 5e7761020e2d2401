"""The API server's word on what the chart renders."""

from tests.chart.render import BASE, CHART
from tests.chart.test_chart import EVERYTHING, combinations
from tests.cluster.cluster import Release, run


def test_rendered_everything_is_accepted_by_the_cluster(empty: Release) -> None:
    """Every kind that the chart can make, checked by the API server against its own schema."""
    for values in [EVERYTHING, *combinations()[::7]]:
        flags = empty.flags(BASE | values)
        rendered = run(
            "helm", "template", empty.name, str(CHART), "--namespace", empty.namespace, "--skip-tests", *flags
        )
        applied = run(
            *("kubectl", "--namespace", empty.namespace, "apply", "--server-side", "--dry-run=server"),
            *("--validate=strict", "--filename", "-"),
            stdin=rendered.stdout,
        )
        assert "Warning" not in applied.stderr, applied.stderr
