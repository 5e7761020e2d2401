"""A pytest hook that adds the state of its namespaces to the report of a failed test."""

from collections.abc import Generator
from itertools import chain
from typing import Any

import pytest

from tests.support.cluster import Namespace


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        fixtures: list[Any] = list(item.funcargs.values())
        parts = chain.from_iterable(each if isinstance(each, tuple) else (each,) for each in fixtures)
        for namespace in {part for part in parts if isinstance(part, Namespace)}:
            report.sections.append((f"pods of {namespace.namespace}", namespace.diagnostics()))
    return report
