"""What is in the image, and what isn't."""

import json

from tests.support.cluster import REGISTRY, TAG, run

IMAGE = f"{REGISTRY}/service:{TAG}"


def inside(script: str) -> list[str]:
    return run(
        "docker", "run", "--rm", "--read-only", "--network", "none", IMAGE, "sh", "-c", script
    ).stdout.splitlines()


def test_image_holds_what_runs_and_nothing_else() -> None:
    assert sorted(inside("ls -A /app")) == [".venv", "manage.py", "service", "static"]
    assert inside("for tool in gcc cc node npm uv git; do command -v $tool; done; true") == []
    assert inside("find /app -xdev -name .git -o -name .env -o -name .cache") == []
    assert inside("find /app -xdev -writable -not -type l") == []
    assert inside("id -u; id -g") == ["10001", "10001"]
    manifest = json.loads("".join(inside("cat /app/static/staticfiles.json")))
    script = manifest["paths"]["main.js"]
    assert inside(f"cd /app/static && ls {script} {script}.br {script}.gz") == [script, f"{script}.br", f"{script}.gz"]
