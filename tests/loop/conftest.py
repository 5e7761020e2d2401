from collections.abc import Iterator

import pytest

from tests.support.failure import pytest_runtest_makereport  # noqa: F401 # pytest hook
from tests.support.skaffold import Skaffold


@pytest.fixture
def skaffold() -> Iterator[Skaffold]:
    """A copy of the project and an empty namespace; Skaffold is not running."""
    skaffold = Skaffold()
    yield skaffold
    skaffold.remove()


@pytest.fixture(scope="module")
def loop() -> Iterator[Skaffold]:
    """A running `skaffold dev` that waits for changes, shared by the tests of a module."""
    skaffold = Skaffold()
    try:
        skaffold.start()
        yield skaffold
    finally:
        skaffold.remove()
