"""`migrate`, one at a time, and without blocking other queries behind its lock requests."""

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

logger = structlog.get_logger(__name__)

# Any fixed number: PostgreSQL keeps advisory locks per database.
LOCK = 0x6D696772617465  # "migrate"
LOCK_NOT_AVAILABLE = "55P03"  # of PostgreSQL's error codes, appendix A
INTERVAL = 0.5  # seconds


class Command(Migrate):
    """Django's `migrate` with a session-level advisory lock, `lock_timeout` and retries.

    A statement that waits for a lock on a table holds up every later query on that table. After 4 s it is cancelled,
    its migration is rolled back, and the migration is retried after a growing pause. CommandError after the last
    attempt, or after `--wait` seconds behind another `migrate`. It needs two connections to PostgreSQL itself: a pooler
    in transaction mode keeps no session.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--lock-timeout", type=float, default=4, help="seconds a statement waits for a lock (4)")
        parser.add_argument("--attempts", type=int, default=8, help="number of attempts (8: about 2 minutes)")
        parser.add_argument("--wait", type=float, default=600, help="seconds to wait for another migrate (600)")

    def handle(self, *args: Any, wait: float, lock_timeout: float, attempts: int, **options: Any) -> None:
        connection = connections[options["database"]]
        self.connection, self.lock_timeout = connection, f"{lock_timeout * 1000:.0f}ms"
        with advisory_lock(connection, wait):
            for attempt in range(1, attempts + 1):
                _set_lock_timeout(connection, self.lock_timeout)
                try:
                    super().handle(*args, **options)
                except OperationalError as error:
                    if _sqlstate(error) != LOCK_NOT_AVAILABLE:
                        raise
                    # A deferred statement that fails leaves Django inside its transaction: start with a new connection.
                    connection.close()
                    connection.connect()
                    if attempt == attempts:
                        raise CommandError(
                            f"A migration got no lock in {attempts} attempts, and nothing of it is applied."
                            " End the long transaction that holds its table, or migrate at a quieter hour."
                        ) from error
                    pause = min(2**attempt / 2, 30)
                    logger.warning("migrate_lock_timeout", attempt=attempt, attempts=attempts, retry_in_s=pause)
                    time.sleep(pause)
                else:
                    _set_lock_timeout(connection, "0")
                    return

    def migration_progress_callback(self, action: str, migration: Migration | None = None, fake: bool = False) -> None:
        """Lifts the lock timeout for a migration that is not atomic.

        CREATE INDEX CONCURRENTLY waits for every open transaction and holds up no query. If it is cancelled, it leaves
        an invalid index, and the next attempt fails.
        """
        super().migration_progress_callback(action, migration, fake)
        if action == "apply_start" and migration and not migration.atomic:
            _set_lock_timeout(self.connection, "0")
        elif action == "apply_success":
            _set_lock_timeout(self.connection, self.lock_timeout)


@contextmanager
def advisory_lock(connection: BaseDatabaseWrapper, wait: float) -> Iterator[None]:
    """Holds the lock on a connection of its own; CommandError after `wait` seconds.

    It polls: one statement that waits would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for every snapshot.
    The lock is released when the connection closes or the process ends.
    """
    deadline = time.monotonic() + wait
    logged = False
    with closing(connection.copy()) as session, session.cursor() as cursor:
        while not _try_lock(cursor):
            if time.monotonic() > deadline:
                raise CommandError(
                    f"Another migrate has held the lock for {wait:g} s. Check whether it is stuck, then try again."
                )
            if not logged:
                logger.info("migrate_waits_for_another")
                logged = True
            time.sleep(INTERVAL)
        yield


def _try_lock(cursor: Any) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
    return bool(cursor.fetchone()[0])


def _set_lock_timeout(connection: BaseDatabaseWrapper, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [value])


def _sqlstate(error: OperationalError) -> str | None:
    """The code of the driver's error: psycopg 2 calls it `pgcode`, psycopg 3 `sqlstate`."""
    return getattr(error.__cause__, "pgcode", None) or getattr(error.__cause__, "sqlstate", None)
