"""Writes the chart's README.md and values.schema.json from the comments of its values.yaml.

`python bin/chart_docs.py` writes them, `python bin/chart_docs.py --check` says whether they are up to date.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "charts" / "django"
TYPES = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
KEY = re.compile(r"^( *)([\w-]+):")
COMMENT = re.compile(r"^ *# (?:(--|schema:) )?(.*)$")

INTRODUCTION = """\
# The chart

It runs a Django service: web pods of Gunicorn behind nginx, Celery workers and beat, a migration Job that all of them
wait for, PostgreSQL and Valkey. [`values.yaml`](values.yaml) as it stands is a small production; what it lacks is the
host name, and the image where the cluster finds it:

    helm install shop charts/django --set host=shop.example.org --set image.repository=$REGISTRY/service

The image is ours or yours: what it must answer to is each `command` below, and every one is a value. Two more ask for
what any Django image has: `helm test` runs `python`, and `superuser.enabled` runs `python manage.py createsuperuser`
unless somebody of that `username` is there, whose password, e-mail address and rights it leaves as they are.
"""


def documented(text: str) -> dict[tuple[str, ...], tuple[str, dict[str, Any]]]:
    """Each documented value's path, with its text and what its `# schema:` says."""
    found: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}
    path: list[str] = []
    words: list[str] = []
    schema = ""
    for line in text.splitlines():
        if comment := COMMENT.match(line):
            kind, rest = comment.groups()
            if kind == "--":
                words = [rest]
            elif kind == "schema:":
                schema = rest
            elif words:
                words.append(rest)
        elif key := KEY.match(line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if words:
                found[tuple(path)] = " ".join(words), yaml.safe_load(schema) if schema else {}
            words, schema = [], ""
        else:
            words, schema = [], ""
    return found


def described(values: dict[str, Any], documents: dict[tuple[str, ...], Any], path: tuple[str, ...] = ()) -> Any:
    """The JSON schema of a section; SystemExit where a value has no comment."""
    properties = {}
    for key, value in values.items():
        here = (*path, key)
        if here in documents:
            text, more = documents[here]
            properties[key] = {"description": text, "type": TYPES[type(value)]} | more
            if "$ref" in more:
                del properties[key]["type"]
        elif isinstance(value, dict) and value:
            properties[key] = described(value, documents, here)
        else:
            raise SystemExit(f"values.yaml: {'.'.join(here)} has no `# --` comment. Say what it is.")
    return {"type": "object", "additionalProperties": False, "properties": properties}


def files() -> dict[Path, str]:
    """What is generated."""
    text = (CHART / "values.yaml").read_text()
    values, documents = yaml.safe_load(text), documented(text)
    schema = described(values, documents)
    schema["properties"]["global"] = {"type": "object"}  # Helm's own
    rows = []
    for path, (words, more) in documents.items():
        value = values
        for key in path:
            value = value[key]
        choices = f" One of {', '.join(f'`{choice}`' for choice in more['enum'])}." if "enum" in more else ""
        cell = (words + choices).replace("|", "\\|")
        rows.append(f"| `{'.'.join(path)}` | `{json.dumps(value)}` | {cell} |\n")
    table = "| value | default | what it is |\n| --- | --- | --- |\n" + "".join(rows)
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        CHART / "values.schema.json": json.dumps(dialect | schema, indent=2) + "\n",
        CHART / "README.md": f"{INTRODUCTION}\n## Values\n\n{table}",
    }


def main() -> None:
    for path, content in files().items():
        if sys.argv[1:] == ["--check"]:
            if not path.exists() or path.read_text() != content:
                raise SystemExit(f"{path.name} is not what values.yaml says. Run `python bin/chart_docs.py`.")
        else:
            path.write_text(content)


if __name__ == "__main__":
    main()
