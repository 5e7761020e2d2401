"""`migrate`, one at a time and without waiting behind a busy table."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import structlog
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as Migrate
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.migration import Migration
from psycopg2.errors import LockNotAvailable

logger = structlog.get_logger(__name__)

# Any fixed number does; PostgreSQL keeps advisory locks by database.
LOCK = 0x6D696772617465  # "migrate"


class Command(Migrate):
    """Django's `migrate` behind a session's advisory lock, with `lock_timeout` and retries.

    A statement that waits for a lock makes every later query on the table wait behind it: after 4 s it gives
    up, its migration is rolled back, and it is tried again, later each time. CommandError when that, or the wait
    for another `migrate`, has no success. Takes two connections to PostgreSQL itself: a pooler in transaction mode
    keeps no session.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--lock-timeout", type=float, default=4, help="seconds a statement waits for a lock (4)")
        parser.add_argument("--attempts", type=int, default=8, help="how often it is tried (8: about 2 minutes)")
        parser.add_argument("--wait", type=float, default=600, help="seconds to wait for another migrate (600)")

    def handle(self, *args: Any, wait: float, lock_timeout: float, attempts: int, **options: Any) -> None:
        connection = connections[options["database"]]
        self.connection, self.lock_timeout = connection, f"{lock_timeout * 1000:.0f}ms"
        with exclusive(connection, wait):
            for attempt in range(1, attempts + 1):
                _set_lock_timeout(connection, self.lock_timeout)
                try:
                    super().handle(*args, **options)
                except OperationalError as error:
                    if not isinstance(error.__cause__, LockNotAvailable):
                        raise
                    # A deferred statement that fails leaves Django inside its transaction: begin anew.
                    connection.close()
                    connection.connect()
                    if attempt == attempts:
                        raise CommandError(
                            f"A migration waited {attempts} times for a lock and got none. Nothing of it is applied."
                            " End the long transaction that holds its table, or migrate at a quieter hour."
                        ) from error
                    pause = min(2**attempt / 2, 30)
                    logger.warning("migrate_lock_timeout", attempt=attempt, attempts=attempts, retry_in_s=pause)
                    time.sleep(pause)
                else:
                    _set_lock_timeout(connection, "0")
                    return

    def migration_progress_callback(self, action: str, migration: Migration | None = None, fake: bool = False) -> None:
        """Lets a migration that is not atomic wait as long as it has to.

        CREATE INDEX CONCURRENTLY waits for every open transaction and holds nobody up meanwhile; given up, it
        leaves an index that is invalid and in the way of the next try.
        """
        super().migration_progress_callback(action, migration, fake)
        if action == "apply_start" and migration and not migration.atomic:
            _set_lock_timeout(self.connection, "0")
        elif action == "apply_success":
            _set_lock_timeout(self.connection, self.lock_timeout)


@contextmanager
def exclusive(connection: BaseDatabaseWrapper, wait: float) -> Iterator[None]:
    """Holds the lock on a connection of its own; CommandError after `wait` seconds without it.

    It asks again and again instead of waiting in one statement: that would hold a snapshot, and CREATE INDEX
    CONCURRENTLY waits for every snapshot. Closing the connection, or the end of the process, gives the lock back.
    """
    deadline = time.monotonic() + wait
    said = False
    with closing(connection.copy()) as session, session.cursor() as cursor:
        while not _locks(cursor):
            if time.monotonic() > deadline:
                raise CommandError(
                    f"Another migrate holds the lock since {wait:g} s. See whether it hangs, then try again."
                )
            if not said:
                logger.info("migrate_waits_for_another")
                said = True
            time.sleep(0.5)
        yield


def _locks(cursor: Any) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
    return bool(cursor.fetchone()[0])


def _set_lock_timeout(connection: BaseDatabaseWrapper, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [value])
