"""The settings in an environment that suits the tests; for mypy too, which has no environment."""

from tests import servers  # noqa: F401 # sets the environment

from service.settings import *  # noqa: F403, I001 # after the environment
