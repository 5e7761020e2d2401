"""The GitHub workflows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support import ROOT
from tests.support.render import CHART


def test_workflow_tests_the_oldest_and_newest_kubernetes_and_python() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yaml").read_text())["jobs"]
    kube_version = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    requires = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if "requires-python" in line)

    clusters = {each["kubernetes"]: each["node"] for each in jobs["cluster"]["strategy"]["matrix"]["include"]}
    pythons = jobs["python"]["strategy"]["matrix"]["python"]

    assert clusters["newest"] == ""
    assert clusters["oldest"].startswith(f"kindest/node:v{kube_version.removeprefix('>=').rpartition('.')[0]}.")
    assert requires == 'requires-python = ">=3.11,<3.15"'
    assert pythons == ["3.11", "3.14"]


def test_published_chart_has_the_published_image(tmp_path: Path) -> None:
    # given a checkout of the chart and the programs
    shutil.copytree(CHART.parent, tmp_path / "charts")
    shutil.copytree(ROOT / "bin", tmp_path / "bin")
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yaml").read_text())["jobs"]["publish"]["steps"]
    (script,) = [each["run"] for each in steps if each.get("name") == "Set the published image in the chart"]

    # when the step of the workflow runs, which checks the rendered image
    environment = os.environ | {"REPOSITORY": "ghcr.io/owner/service"}
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=True)

    # then the chart's README has the same image
    subprocess.run([sys.executable, "bin/chart_docs.py", "--check"], cwd=tmp_path, check=True)
