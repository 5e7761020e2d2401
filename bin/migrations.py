"""`python -m bin.migrations`: no model without its migration, and no migration that breaks an old pod."""

import os
import sys

from tests.support import servers

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.support.settings"


def main() -> int:
    import django
    from django.core.management import call_command

    server = servers.start_postgres()
    try:
        django.setup()
        call_command("makemigrations", check=True, dry_run=True)
        # Both schemas are in use during a rollout, so what only the new code can use is an error.
        call_command("lintmigrations", warnings_as_errors=[], no_cache=True)
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
