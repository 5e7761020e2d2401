from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loop.skaffold import Skaffold


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(1800))
            item.add_marker(pytest.mark.filterwarnings("ignore:Unverified HTTPS request"))


@pytest.fixture
def skaffold() -> Iterator[Skaffold]:
    """A copy of the project and an empty namespace."""
    skaffold = Skaffold()
    yield skaffold
    skaffold.remove()


@pytest.fixture(scope="module")
def loop() -> Iterator[Skaffold]:
    """`skaffold dev`, at rest."""
    skaffold = Skaffold()
    skaffold.start()
    yield skaffold
    skaffold.remove()
