"""`migrate` on a real PostgreSQL: alone, concurrently, and while other sessions hold locks."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection as PostgresConnection  # noqa: N812 # its class

from devserver.process import Server
from mainstay.management.commands.migrate import LOCK
from tests.support import commands, processes, servers

BASE = servers.ENVIRONMENT["DATABASE_URL"].rpartition("/")[0]


def connect(name: str) -> PostgresConnection:
    connection = psycopg2.connect(f"{BASE}/{name}")
    connection.autocommit = True
    return connection


@pytest.fixture
def database(postgres_server: Server, valkey_server: Server) -> Iterator[str]:
    """The URL of an empty database."""
    with closing(connect("postgres")) as server, server.cursor() as cursor:
        cursor.execute("CREATE DATABASE fresh")
        yield f"{BASE}/fresh"
        cursor.execute("DROP DATABASE fresh WITH (FORCE)")


def rows(sql: str) -> list[tuple[object, ...]]:
    with closing(connect("fresh")) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_migrate_creates_the_tables_of_django_and_of_the_apps(database: str) -> None:
    assert commands.run("migrate", "--noinput", DATABASE_URL=database)[0] == 0

    tables = {name for (name,) in rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables == {
        "auth_group", "auth_group_permissions", "auth_permission",
        "auth_user", "auth_user_groups", "auth_user_user_permissions",
        "django_admin_log", "django_content_type", "django_migrations", "django_session",
        "accounts_login", "accounts_mail", "accounts_profile",
        "reports_dailyreport", "reports_sessioncleanup",
    }  # fmt: skip


def test_concurrent_migrates_apply_each_migration_once(database: str) -> None:
    first, second = (commands.start("migrate", "--noinput", DATABASE_URL=database) for _ in range(2))

    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0)
    assert sum(output.count("Applying accounts.0001_initial... OK") for output in outputs) == 1
    assert sum("No migrations to apply." in output for output in outputs) == 1
    assert rows("SELECT app, name FROM django_migrations GROUP BY app, name HAVING count(*) > 1") == []


def test_migrate_waits_for_another_migrate_and_logs_it(database: str) -> None:
    with closing(connect("fresh")) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        waiting = commands.start("migrate", "--noinput", DATABASE_URL=database)
        assert waiting.stdout
        assert "migrate_waits_for_another" in waiting.stdout.readline()
        assert rows("SELECT 1 FROM pg_tables WHERE tablename = 'auth_user'") == []

        cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])

        waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert rows("SELECT 1 FROM pg_tables WHERE tablename = 'auth_user'") == [(1,)]


def test_migrate_times_out_behind_another_migrate_and_changes_nothing(database: str) -> None:
    with closing(connect("fresh")) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])

        status, output = commands.run("migrate", "--noinput", "--wait", "1", DATABASE_URL=database)

    assert status == 1
    assert (
        output.splitlines()[-1]
        == "CommandError: Another migrate has held the lock for 1 s. Check whether it is stuck, then try again."
    )
    assert rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_killed_migrate_releases_its_lock(database: str) -> None:
    # given a migrate that waits for a table lock while it holds the advisory lock
    assert commands.run("migrate", "auth", "--noinput", DATABASE_URL=database)[0] == 0
    busy = psycopg2.connect(database)
    with closing(busy), busy.cursor() as cursor:
        cursor.execute("LOCK TABLE auth_group IN ACCESS EXCLUSIVE MODE")
        killed = commands.start("migrate", "--noinput", DATABASE_URL=database)
        processes.wait_until(lambda: rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))
        killed.kill()
        killed.communicate()

    assert commands.run("migrate", "--noinput", "--wait", "30", DATABASE_URL=database)[0] == 0


def test_migration_of_a_locked_table_is_rolled_back_and_retried(database: str) -> None:
    # given a database without the migration of accounts, and a transaction that locks a table it needs
    assert commands.run("migrate", "--noinput", DATABASE_URL=database)[0] == 0
    assert commands.run("migrate", "accounts", "zero", "--noinput", "--fake", DATABASE_URL=database)[0] == 0
    with closing(connect("fresh")) as setup, setup.cursor() as cursor:
        cursor.execute(
            "DROP TABLE accounts_login, accounts_mail, accounts_profile, django_admin_log,"
            " auth_user_groups, auth_user_user_permissions, auth_user CASCADE"
        )
    busy = psycopg2.connect(database)
    with closing(busy), busy.cursor() as cursor:
        # the foreign key of auth_user_groups needs a lock on auth_group
        cursor.execute("LOCK TABLE auth_group IN ACCESS EXCLUSIVE MODE")

        waiting = commands.start("migrate", "accounts", "--noinput", "--lock-timeout", "0.2", DATABASE_URL=database)
        assert waiting.stdout
        processes.wait_until(lambda: "migrate_lock_timeout" in waiting.stdout.readline())  # type: ignore[union-attr]
        # then nothing is half-applied
        assert rows("SELECT 1 FROM pg_tables WHERE tablename = 'auth_user'") == []

        busy.rollback()
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert rows("SELECT 1 FROM pg_tables WHERE tablename = 'auth_user'") == [(1,)]


def test_migration_that_gets_no_lock_fails_with_the_remedy(database: str) -> None:
    assert commands.run("migrate", "auth", "--noinput", DATABASE_URL=database)[0] == 0
    busy = psycopg2.connect(database)
    with closing(busy), busy.cursor() as cursor:
        cursor.execute("LOCK TABLE auth_group IN ACCESS EXCLUSIVE MODE")

        status, output = commands.run(
            "migrate", "accounts", "--noinput", "--lock-timeout", "0.1", "--attempts", "2", DATABASE_URL=database
        )

        assert status == 1
        assert output.endswith(
            "CommandError: A migration got no lock in 2 attempts, and nothing of it is applied."
            " End the long transaction that holds its table, or migrate at a quieter hour.\n"
        )
        assert output.count("migrate_lock_timeout") == 1
    assert rows("SELECT 1 FROM pg_tables WHERE tablename = 'auth_user'") == []


def test_unreachable_database_is_an_error_without_retry() -> None:
    status, output = commands.run("migrate", "--noinput", DATABASE_URL="postgres://u:p@127.0.0.1:1/n")

    assert status == 1
    assert "OperationalError" in output
    assert "migrate_lock_timeout" not in output


SHELF = {
    "shelf/__init__.py": "",
    "shelf/migrations/__init__.py": "",
    "shelf/migrations/0001_concurrent.py": """
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunSQL("CREATE INDEX CONCURRENTLY shelf ON accounts_login (id)")]
""",
    "shelf_settings.py": "from service.settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, 'shelf']\n",
}


def test_concurrent_index_waits_for_a_writer_and_is_valid(database: str, tmp_path: Path) -> None:
    # given an app whose migration creates an index concurrently, and a transaction that locks the table for a write
    for name, text in SHELF.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert commands.run("migrate", "--noinput", DATABASE_URL=database)[0] == 0
    writer = psycopg2.connect(database)
    with closing(writer), writer.cursor() as cursor:
        cursor.execute("LOCK TABLE accounts_login IN ROW EXCLUSIVE MODE")
        environment = {"PYTHONPATH": str(tmp_path), "DJANGO_SETTINGS_MODULE": "shelf_settings"}
        waiting = commands.start("migrate", "--noinput", "--lock-timeout", "0.2", DATABASE_URL=database, **environment)
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX%'"
        processes.wait_until(lambda: rows(blocked) == [(1,)])
        # longer than the lock timeout, which does not apply here
        processes.wait_until(lambda: rows(blocked.replace("count(*)", "min(now() - query_start) > '1 s'")) == [(True,)])

        writer.rollback()
    output = waiting.communicate(timeout=60)[0]
    assert waiting.returncode == 0, output
    assert "migrate_lock_timeout" not in output
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'shelf'::regclass") == [(True,)]
