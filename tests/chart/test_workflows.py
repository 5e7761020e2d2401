"""What the workflows promise."""

import yaml

from tests.chart.render import CHART

ROOT = CHART.parents[1]


def test_workflow_tests_the_oldest_kubernetes_and_pythons_that_are_promised() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yaml").read_text())["jobs"]
    floor = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    requires = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if "requires-python" in line)

    clusters = {each["kubernetes"]: each["node"] for each in jobs["cluster"]["strategy"]["matrix"]["include"]}
    pythons = jobs["python"]["strategy"]["matrix"]["python"]

    assert clusters["newest"] == ""
    assert clusters["oldest"].startswith(f"kindest/node:v{floor.removeprefix('>=').rpartition('.')[0]}.")
    assert requires == 'requires-python = ">=3.11,<3.15"'
    assert pythons == ["3.11", "3.14"]
