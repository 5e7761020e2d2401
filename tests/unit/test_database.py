"""What counts as pending."""

import pytest
from django.db.migrations.migration import Migration

from mainstay import database


@pytest.fixture
def _disk(monkeypatch: pytest.MonkeyPatch) -> None:
    squash = type("Squash", (Migration,), {"replaces": [("shop", "0001"), ("shop", "0002")]})("0003_squashed", "shop")
    disk = {("shop", name): Migration(name, "shop") for name in ("0001", "0002", "0004")} | {
        ("shop", "0003_squashed"): squash
    }
    monkeypatch.setattr(database, "migrations", lambda: disk)


@pytest.mark.usefixtures("_disk")
def test_a_squashed_migration_is_applied_when_all_that_it_replaces_is() -> None:
    assert database.unapplied([("shop", "0001"), ("shop", "0002"), ("shop", "0004")]) == []


@pytest.mark.usefixtures("_disk")
def test_what_the_database_has_more_than_the_image_is_not_pending() -> None:
    applied = [("shop", name) for name in ("0001", "0002", "0003_squashed", "0004", "0005_of_tomorrow")]

    assert database.unapplied(applied) == []


@pytest.mark.usefixtures("_disk")
def test_what_is_missing_is_named_in_order() -> None:
    assert database.unapplied([("shop", "0001")]) == [("shop", "0002"), ("shop", "0003_squashed"), ("shop", "0004")]
