"""The service's settings with the environment of the tests and the migration linter; mypy uses them, too."""

from tests.support import servers  # noqa: F401 # imported first, because it sets the environment

# isort: split
from service.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "django_migration_linter"]  # noqa: F405 # from the star import
