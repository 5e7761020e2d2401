"""What is shown of a test that failed besides its traceback."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.cluster.cluster import Namespace


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        fixtures: list[Any] = list(item.funcargs.values())
        for namespace in {fixture for fixture in fixtures if isinstance(fixture, Namespace)}:
            report.sections.append((f"pods of {namespace.namespace}", namespace.complaints()))
    return report
