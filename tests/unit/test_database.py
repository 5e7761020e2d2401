"""Which migrations count as unapplied."""

import pytest
from django.db.migrations.migration import Migration

from mainstay import database


@pytest.fixture
def _migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    squash = type("Squash", (Migration,), {"replaces": [("shop", "0001"), ("shop", "0002")]})("0003_squashed", "shop")
    disk = {("shop", name): Migration(name, "shop") for name in ("0001", "0002", "0004")} | {
        ("shop", "0003_squashed"): squash
    }
    monkeypatch.setattr(database, "migrations", lambda: disk)


@pytest.mark.usefixtures("_migrations")
def test_squashed_migration_is_applied_if_all_replaced_migrations_are() -> None:
    assert database.unapplied([("shop", "0001"), ("shop", "0002"), ("shop", "0004")]) == []


@pytest.mark.usefixtures("_migrations")
def test_migration_that_only_the_database_has_is_ignored() -> None:
    applied = [("shop", name) for name in ("0001", "0002", "0003_squashed", "0004", "0005_later")]

    assert database.unapplied(applied) == []


@pytest.mark.usefixtures("_migrations")
def test_unapplied_migrations_are_sorted() -> None:
    assert database.unapplied([("shop", "0001")]) == [("shop", "0002"), ("shop", "0003_squashed"), ("shop", "0004")]
