"""Values of Django's settings that the package gives to a project."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import StorageHandler

from mainstay import settings


def test_static_files_have_hashed_names_and_uploads_are_in_media_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDIA_ROOT", str(tmp_path / "media"))
    storages: Any = StorageHandler(settings.storages(static=tmp_path / "static"))

    storages["staticfiles"].save("shop.css", ContentFile(b"body {}"))
    list(storages["staticfiles"].post_process({"shop.css": (storages["staticfiles"], "shop.css")}))
    upload = storages["default"].save("picture.png", ContentFile(b"picture"))

    assert re.fullmatch(r"/static/shop\.\w{12}\.css", storages["staticfiles"].url("shop.css", force=True))
    assert (tmp_path / "media" / upload).read_bytes() == b"picture"
    assert storages["default"].url(upload) == "/media/picture.png"


def test_uploads_are_in_a_bucket_if_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_STORAGE_BUCKET_NAME", "shop")
    monkeypatch.setenv("AWS_S3_ENDPOINT_URL", "https://s3.example.org")

    storage: Any = StorageHandler(settings.storages(static=tmp_path))["default"]

    assert (type(storage).__name__, storage.bucket_name, storage.endpoint_url) == (
        "S3Storage",
        "shop",
        "https://s3.example.org",
    )


def test_a_database_is_measured_and_its_url_may_override_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", "postgres://ada@db.example.org/shop?connect_timeout=60")

    config = settings.database("DATABASE")

    assert (config["ENGINE"], config["NAME"], config["HOST"]) == (
        "django_prometheus.db.backends.postgresql",
        "shop",
        "db.example.org",
    )
    assert (config["OPTIONS"]["connect_timeout"], config["OPTIONS"]["keepalives_idle"]) == (60, 30)


def test_a_database_without_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", "postgres://ada@db.example.org/")

    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE names no database\."):
        settings.database("DATABASE")
