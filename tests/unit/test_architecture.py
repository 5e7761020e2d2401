"""The imports that the package, the apps and the exporter may have."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

PACKAGE = ROOT / "mainstay/src/mainstay"


def imported_modules(*files: Path) -> set[str]:
    trees = [ast.parse(file.read_text()) for file in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_package_does_not_import_the_project() -> None:
    imported = imported_modules(*PACKAGE.rglob("*.py"))

    assert "mainstay.metrics" in imported
    assert not [name for name in imported if name.partition(".")[0] in ("service", "devserver", "tests")]


def test_accounts_does_not_import_reports() -> None:
    imported = imported_modules(*(ROOT / "service/accounts").rglob("*.py"))

    assert "service.accounts.models" in imported
    assert not [name for name in imported if name.startswith("service.reports")]


def test_exporter_does_not_load_django() -> None:
    code = "import sys, mainstay.metrics.exporter; print([name for name in sys.modules if name.startswith('django')])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_the_package_uses_no_private_name_of_a_library() -> None:
    """docs/decisions/0008 lists what is undocumented; a leading underscore is never needed."""
    nodes = [node for file in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(file.read_text()))]

    attributes = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute) and is_private(node.attr)}
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert {name for name in attributes if not name.startswith("self.")} == set()
    assert {name for name in imported if is_private(name)} == set()


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")
