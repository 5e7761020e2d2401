"""The contents of the image."""

import json
from importlib.metadata import version

from tests.support.cluster import REGISTRY, TAG, run

IMAGE = f"{REGISTRY}/service:{TAG}"


def lines_of(script: str) -> list[str]:
    """Runs a shell script in a container and returns the lines of its output."""
    return run(
        "docker", "run", "--rm", "--read-only", "--network", "none", IMAGE, "sh", "-c", script
    ).stdout.splitlines()


def test_image_contains_only_runtime_files() -> None:
    assert sorted(lines_of("ls -A /app")) == [
        ".venv",
        f"django_mainstay-{version('django-mainstay')}.dist-info",
        "mainstay",
        "manage.py",
        "service",
        "static",
    ]
    assert lines_of("for tool in gcc cc node npm uv git; do command -v $tool; done; true") == []
    assert lines_of("find /app -xdev -name .git -o -name .env -o -name .cache") == []
    assert lines_of("find /app -xdev -writable -not -type l") == []
    assert lines_of("id -u; id -g") == ["10001", "10001"]
    manifest = json.loads("".join(lines_of("cat /app/static/staticfiles.json")))
    script = manifest["paths"]["main.js"]
    assert lines_of(f"cd /app/static && ls {script} {script}.br {script}.gz") == [
        script,
        f"{script}.br",
        f"{script}.gz",
    ]
