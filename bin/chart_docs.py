"""Generates the chart's README.md and values.schema.json from its values.yaml and files/renamed-values.yaml.

`python bin/chart_docs.py` writes them; `python bin/chart_docs.py --check` fails if they are out of date.
The comments are those of helm-docs (`# --`) and helm-values-schema-json (`# @schema`): docs/decisions/0007.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHART = Path(__file__).parents[1] / "charts" / "django"
TYPES = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
KEY = re.compile(r"^( *)([\w-]+):")
COMMENT = re.compile(r"^ *# (?:(--|@schema) )?(.*)$")

INTRODUCTION = """\
# The chart

Runs a Django service: web pods with Gunicorn behind nginx, Celery workers and Beat, PostgreSQL and Valkey. A Job
applies the migrations, and the pods of the application wait until they are applied. The defaults in
[`values.yaml`](values.yaml) suit a small production deployment; set the host name and the image:

    helm install shop charts/django --set host=shop.example.org --set image.repository=$REGISTRY/service

The chart runs any image that provides the commands below; every `command` is a value. Two features need more than that:
`helm test` runs `python`, and `superuser.enabled` runs `python manage.py createsuperuser` unless the user exists.
"""


class Documented(NamedTuple):
    text: str
    constraints: dict[str, Any]


def documented(text: str) -> dict[tuple[str, ...], Documented]:
    """The `# --` text and the `# @schema` constraints of each documented value, by its path."""
    found: dict[tuple[str, ...], Documented] = {}
    path: list[str] = []
    words: list[str] = []
    constraints: dict[str, Any] = {}
    for line in text.splitlines():
        if comment := COMMENT.match(line):
            kind, rest = comment.groups()
            if kind == "--":
                words = [rest]
            elif kind == "@schema":
                constraints = parse(rest)
            elif words:
                words.append(rest)
            continue
        if key := KEY.match(line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if words:
                found[tuple(path)] = Documented(" ".join(words), constraints)
        words, constraints = [], {}
    return found


def parse(annotation: str) -> dict[str, Any]:
    """The JSON schema of `name:value;name:value`; `item` and `itemEnum` constrain the items of a list."""
    schema: dict[str, Any] = {}
    for part in annotation.split(";"):
        name, _, value = part.partition(":")
        if name == "item":
            schema["items"] = {"type": value}
        elif name == "itemEnum":
            schema["items"] = {"enum": yaml.safe_load(value)}
        else:
            schema[name] = value if name in {"pattern", "$ref"} else yaml.safe_load(value)
    return schema


def described(values: dict[str, Any], documents: dict[tuple[str, ...], Documented], path: tuple[str, ...] = ()) -> Any:
    """The JSON schema of a section; SystemExit for a value without a comment."""
    properties = {}
    for key, value in values.items():
        here = (*path, key)
        if here in documents:
            text, constraints = documents[here]
            kind = {} if "$ref" in constraints else {"type": TYPES[type(value)]}
            properties[key] = {"description": text, **kind, **constraints}
        elif isinstance(value, dict) and value:
            properties[key] = described(value, documents, here)
        else:
            raise SystemExit(f"values.yaml: {'.'.join(here)} has no `# --` comment: describe it.")
    return section(properties)


def section(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def admit(schema: dict[str, Any], old: str) -> None:
    """Lets the schema accept a renamed value, so that the chart can refuse it with its new name."""
    *parents, last = old.split(".")
    for parent in parents:
        schema = schema["properties"].setdefault(parent, section({}))
    schema["properties"][last] = {"description": "Renamed."}


def files() -> dict[Path, str]:
    """The content of each generated file."""
    text = (CHART / "values.yaml").read_text()
    values, documents = yaml.safe_load(text), documented(text)
    schema = described(values, documents)
    schema["properties"]["global"] = {"type": "object"}  # Helm sets it in every chart
    for old in yaml.safe_load((CHART / "files/renamed-values.yaml").read_text()):
        admit(schema, old)
    rows = []
    for path, (words, constraints) in documents.items():
        value = values
        for key in path:
            value = value[key]
        choices = f" One of {', '.join(f'`{choice}`' for choice in constraints.get('enum', []))}."
        cell = (words + (choices if "enum" in constraints else "")).replace("|", "\\|")
        rows.append(f"| `{'.'.join(path)}` | `{json.dumps(value)}` | {cell} |\n")
    table = "| Value | Default | Description |\n| --- | --- | --- |\n" + "".join(rows)
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        CHART / "values.schema.json": json.dumps(dialect | schema, indent=2) + "\n",
        CHART / "README.md": f"{INTRODUCTION}\n## Values\n\n{table}",
    }


def main() -> None:
    for path, content in files().items():
        if sys.argv[1:] == ["--check"]:
            if not path.exists() or path.read_text() != content:
                raise SystemExit(f"{path.name} is out of date: run `make chart-docs`.")
        else:
            path.write_text(content)


if __name__ == "__main__":
    main()
