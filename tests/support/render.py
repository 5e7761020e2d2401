"""Renders the chart with `helm template`, without a cluster."""

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
    """Returns Helm's flags for values by dotted path."""
    return [part for key, value in values.items() for part in ("--set-json", f"{key}={json.dumps(value)}")]


def attempt(values: dict[str, Any], release: str = "shop") -> subprocess.CompletedProcess[str]:
    return helm("template", release, str(CHART), "--namespace", "shops", *flags(values))


def text(release: str = "shop", **values: Any) -> str:
    """Returns the rendered manifests; `web__replicas=2` sets `web.replicas`."""
    done = attempt(BASE | {key.replace("__", "."): value for key, value in values.items()}, release)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(release: str = "shop", **values: Any) -> dict[tuple[str, str], Any]:
    """Returns the rendered objects by kind and name."""
    rendered = [item for item in yaml.safe_load_all(text(release, **values)) if item]
    found = {(item["kind"], item["metadata"]["name"]): item for item in rendered}
    assert len(found) == len(rendered), "two objects have the same kind and name"
    return found


def refusal(**values: Any) -> str:
    """Returns the error message with which the chart refuses the values."""
    done = attempt(BASE | {key.replace("__", "."): value for key, value in values.items()})
    assert done.returncode != 0
    return done.stderr
