"""Renders the chart with `helm template`, for a cluster that need not exist."""

import json
import subprocess
from typing import Any

import yaml

from tests.support import ROOT

CHART = ROOT / "charts" / "django"
BASE = {"host": "shop.example.org", "secrets.mode": "seed", "secrets.seed": "5eed" * 16}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["helm", *arguments], check=False, capture_output=True, text=True)


def flags(values: dict[str, Any]) -> list[str]:
    """Values by dotted path."""
    return [part for key, value in values.items() for part in ("--set-json", f"{key}={json.dumps(value)}")]


def attempt(values: dict[str, Any], release: str = "shop") -> subprocess.CompletedProcess[str]:
    return helm("template", release, str(CHART), "--namespace", "shops", *flags(values))


def text(release: str = "shop", **values: Any) -> str:
    """The rendered manifests; `web__replicas=2` is `web.replicas`."""
    done = attempt(BASE | {key.replace("__", "."): value for key, value in values.items()}, release)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(release: str = "shop", **values: Any) -> dict[tuple[str, str], Any]:
    """The rendered objects by kind and name."""
    rendered = [item for item in yaml.safe_load_all(text(release, **values)) if item]
    found = {(item["kind"], item["metadata"]["name"]): item for item in rendered}
    assert len(found) == len(rendered), "two objects of one name"
    return found


def refusal(**values: Any) -> str:
    """Why the values are refused."""
    done = attempt(BASE | {key.replace("__", "."): value for key, value in values.items()})
    assert done.returncode != 0
    return done.stderr
