from collections.abc import Iterator

import pytest

from tests.support.failure import pytest_runtest_makereport  # noqa: F401 # a hook
from tests.support.skaffold import Skaffold


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
    try:
        skaffold.start()
        yield skaffold
    finally:
        skaffold.remove()
