"""The settings in an environment that suits the tests, with the linter of migrations; mypy reads them too."""

from tests.support import servers  # noqa: F401 # first: it sets the environment

# isort: split
from service.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "django_migration_linter"]  # noqa: F405 # of the star
