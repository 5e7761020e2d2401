"""URLs of static files."""

import json
from pathlib import Path

import pytest
from pytest_django import Settings

from mainstay.storage import StaticFilesStorage


@pytest.fixture
def storage(tmp_path: Path) -> StaticFilesStorage:
    manifest = {"version": "1.1", "hash": "", "paths": {"main.css": "main.0123456789ab.css"}}
    (tmp_path / "staticfiles.json").write_text(json.dumps(manifest))
    return StaticFilesStorage(location=tmp_path, base_url="/static/")


def test_url_is_the_one_of_the_manifest_each_time(storage: StaticFilesStorage) -> None:
    assert [storage.url("main.css") for _ in range(2)] == ["/static/main.0123456789ab.css"] * 2
    assert storage.url("main.css#top") == "/static/main.0123456789ab.css#top"


def test_url_of_a_missing_file_is_an_error_each_time(storage: StaticFilesStorage) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match=r"Missing staticfiles manifest entry for 'main\.js'"):
            storage.url("main.js")


def test_url_with_debug_is_the_plain_one_although_it_was_cached(
    storage: StaticFilesStorage, settings: Settings
) -> None:
    storage.url("main.css")

    settings.DEBUG = True

    assert storage.url("main.css") == "/static/main.css"
