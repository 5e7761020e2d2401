"""The chart's values: which are refused, and how they are documented."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT
from tests.support.render import BASE, CHART, helm, refusal

# The old name of each renamed value, and what it is now.
RENAMED: dict[str, str] = yaml.safe_load((CHART / "files/renamed-values.yaml").read_text())
SEED = [f"--set={key}={BASE[key]}" for key in ("secrets.mode", "secrets.seed")]


def test_readme_and_schema_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "bin/chart_docs.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ({"host": ""}, "host is empty: set it"),
        ({"web.probes.port": 8080}, "set web.probes.readinessPath to a page"),
        ({"web.probes.port": 8080, "web.probes.readinessPath": ""}, "set web.probes.startupPath to a page"),
        ({"web.replicas": 2}, "set media.accessModes to [ReadWriteMany]"),
        ({"web.replicas": 2}, "create another claim, copy the files and set media.existingClaim"),
        ({"web.autoscaling.enabled": True}, "set media.accessModes to [ReadWriteMany]"),
        (
            {"media.mode": "none", "web.autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 2}},
            "lower minReplicas or raise maxReplicas",
        ),
        (
            {"worker.autoscaling": {"enabled": True, "minReplicas": 9}},
            "worker.autoscaling.minReplicas is 9 and maxReplicas is 6: lower minReplicas",
        ),
        ({"media.mode": "s3"}, "set media.s3.bucket"),
        ({"secrets.seed": "short"}, "openssl rand -hex 32"),
        ({"secrets.mode": "existing"}, "set secrets.existingSecret"),
        ({"secrets.mode": "externalSecret"}, "set secrets.externalSecret.secretStoreRef.name"),
        ({"secrets.mode": "generate"}, "set secrets.mode to seed, existing or externalSecret"),
        ({"postgres.mode": "external"}, "set secrets.stringData.DATABASE_URL"),
        ({"valkey.mode": "external"}, "set secrets.stringData.REDIS_URL"),
        ({"secrets.stringData.REDIS_URL": "redis://cache.example.org"}, "remove secrets.stringData.REDIS_URL"),
        (
            {"secrets.stringData.CELERY_BROKER_URL": "redis://queue.example.org"},
            "remove secrets.stringData.CELERY_BROKER_URL",
        ),
        (
            {"postgres.mode": "cnpg", "secrets.stringData.POSTGRES_PASSWORD": "a"},
            "remove secrets.stringData.POSTGRES_PASSWORD",
        ),
        ({"secrets.stringData.POSTGRES_PASSWORD": "p@ss/w#rd"}, "use letters and digits only"),
        ({"host": "https://shop.example.org"}, '"https://shop.example.org" is not a host name: set'),
        ({"django.allowedHosts": {"*": True}}, '"*" is not a host name: set'),
        ({"secrets.stringData.GUNICORN_BIND": "0.0.0.0:8000"}, "remove secrets.stringData.GUNICORN_BIND"),
        ({"worker.env.TOKEN": "a", "secrets.stringData.TOKEN": "b"}, "remove secrets.stringData.TOKEN"),
        ({"valkey.mode": "none"}, "set valkey.mode to bundled or external"),
        ({"httpRoute.enabled": True}, "set httpRoute.parentRefs"),
        ({"web.workers": 12}, "raise postgres.maxConnections to 132"),
        ({"media.mode": "none", "web.replicas": 5}, "raise postgres.maxConnections to 112"),
        (
            {"postgres.mode": "cnpg", "postgres.cnpg.poolerInstances": 0, "web.workers": 12},
            "raise postgres.maxConnections to 132",
        ),
        ({"postgres.mode": "cnpg", "postgres.cnpg.backupSchedule": "0 0 2 * * *"}, "set postgres.cnpg.backupPlugin"),
        ({"image.digest": "service@sha256:" + "a" * 64}, "'/image/digest': 'service@sha256:"),
        ({"web.replica": 2}, "additional properties 'replica' not allowed"),
        ({"web.podLabls.a": "b"}, "additional properties 'podLabls' not allowed"),
        ({"web.podLabels.a": 1}, "'/web/podLabels/a': got number, want string"),
        ({"secrets.mode": "random"}, "must be one of 'generate', 'seed', 'existing', 'externalSecret'"),
    ],
)
def test_invalid_values_are_refused_with_the_remedy(values: dict[str, Any], remedy: str) -> None:
    assert remedy in refusal(**values)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_renamed_value_is_refused_with_its_new_name(old: str, new: str) -> None:
    assert f": {old} is now {new}." in refusal(**{old: 1})


def test_all_renamed_values_are_reported_at_once() -> None:
    message = refusal(**{"web.drain": 1, "web.longestRequest": 2})

    assert "web.drain is now web.preStopSeconds; web.longestRequest is now web.timeoutSeconds." in message


def test_new_names_exist() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    # `web.{podLabels, tolerations}` is several names.
    single = [re.split(r", a list", new)[0] for new in RENAMED.values() if "{" not in new.partition(",")[0]]
    grouped = [
        section + name.strip()
        for section, names in re.findall(r"^([\w.]*)\{([^}]+)\}", "\n".join(RENAMED.values()), re.MULTILINE)
        for name in names.split(",")
    ]

    assert len(single) > 30
    assert len(grouped) == 7 * 8
    for path in [*single, *grouped]:
        here = values
        for key in path.split("."):
            assert key in here, path
            here = here[key]


def test_upgrade_page_lists_the_renamed_values() -> None:
    page = (ROOT / "docs/upgrade.md").read_text()

    rows = dict(re.findall(r"^\| `([\w.]+)` \| `(.+)` \|$", page, re.MULTILINE))
    assert rows == RENAMED


@pytest.mark.parametrize("sample", sorted((ROOT / "k8s" / "values").glob("*.yaml")), ids=lambda path: path.stem)
def test_values_files_render_and_lint(sample: Path) -> None:
    # production and gitops bring their own secrets; the files of Skaffold are additions to local.yaml.
    added = [] if sample.stem in ("production", "gitops") else ["--values", str(sample.parent / "local.yaml"), *SEED]
    for command in (("template", "shop"), ("lint", "--strict")):
        done = helm(*command, str(CHART), *added, "--values", str(sample))
        assert done.returncode == 0, done.stdout + done.stderr
