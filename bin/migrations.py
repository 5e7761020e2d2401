"""Checks that no migration is missing and that every migration is backward compatible: `python -m bin.migrations`."""

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
        # During a rollout, pods of the old version use the new schema, so warnings count as errors.
        call_command("lintmigrations", warnings_as_errors=[], no_cache=True)
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
