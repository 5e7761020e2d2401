"""Is the database's schema at least the image's?"""

from collections.abc import Iterable
from functools import cache

from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration

Key = tuple[str, str]


@cache
def on_disk() -> dict[Key, Migration]:
    """The image's migrations by app and name."""
    return dict(MigrationLoader(None).disk_migrations)


def pending(applied: Iterable[Key]) -> list[Key]:
    """What the image has and the database has not; a squashed one counts when all that it replaces is applied."""
    done = set(applied)
    return sorted(
        key
        for key, migration in on_disk().items()
        if key not in done and not (migration.replaces and done.issuperset(map(tuple, migration.replaces)))
    )
