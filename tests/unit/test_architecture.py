"""Who may know whom."""

import ast
from pathlib import Path

SERVICE = Path(__file__).resolve().parents[2] / "service"


def imports_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_operations_knows_nothing_of_the_apps() -> None:
    known = {name for file in (SERVICE / "operations").rglob("*.py") for name in imports_of(file)}

    assert "service.operations" in known
    assert not [name for name in known if name.startswith(("service.accounts", "service.reports", "service.settings"))]


def test_accounts_knows_nothing_of_reports() -> None:
    known = {name for file in (SERVICE / "accounts").rglob("*.py") for name in imports_of(file)}

    assert "service.accounts.models" in known
    assert not [name for name in known if name.startswith("service.reports")]


def test_the_exporter_knows_prometheus_client_and_nothing_else() -> None:
    known = imports_of(SERVICE / "operations/exporter.py")

    assert known == {"os", "pathlib", "signal", "socket", "prometheus_client", "prometheus_client.multiprocess"}
    assert [(SERVICE / name).read_text() for name in ("__init__.py", "operations/__init__.py")] == ["", ""]
