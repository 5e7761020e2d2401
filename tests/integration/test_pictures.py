"""Upload, replacement and removal of the profile picture."""

import html
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections, transaction
from django.test import Client
from django.urls import reverse
from PIL import Image
from pytest_django import Settings

from service.accounts import services
from service.accounts.models import Profile, User
from service.accounts.pictures import INVALID, TOO_LARGE, TOO_MANY_PIXELS
from tests.support import processes
from tests.support.gunicorn import gunicorn
from tests.unit.test_pictures import encode, png_with_size

# Real transactions: the old picture is deleted after the commit.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue")]

PROFILE = reverse("accounts:profile")


@pytest.fixture
def profile(client: Client) -> Profile:
    """The profile of the logged-in user."""
    user = User.objects.create_user("ada", "ada@example.org")
    client.force_login(user)
    return Profile.objects.create(user=user, display_name="Ada")


@pytest.fixture
def media(settings: Settings) -> Path:
    return Path(settings.MEDIA_ROOT)


def name(profile: Profile) -> str:
    """Returns the stored name of the picture."""
    profile.refresh_from_db()
    return str(profile.picture.name)


def files(media: Path) -> set[str]:
    return {str(path.relative_to(media)) for path in media.rglob("*") if path.is_file()}


def upload(client: Client, content: bytes, filename: str = "me.png", **others: str) -> Any:
    return client.post(PROFILE, {"display_name": "Ada", "picture": SimpleUploadedFile(filename, content), **others})


@pytest.fixture
def stored(client: Client, profile: Profile) -> str:
    """The name of an already stored picture."""
    assert upload(client, encode("PNG")).status_code == 302
    return name(profile)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_picture_is_stored_as_webp_with_a_random_name(
    client: Client, profile: Profile, media: Path, image_format: str
) -> None:
    response = upload(client, encode(image_format), "Ada at home.svg.html")

    assert (response.status_code, response["Location"]) == (302, PROFILE)
    assert re.fullmatch(r"pictures/[0-9a-f]{32}\.webp", name(profile))
    assert files(media) == {name(profile)}
    with Image.open(media / name(profile)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (40, 20))
    assert f'src="/media/{name(profile)}"' in client.get(PROFILE).content.decode()


def test_uploading_the_same_picture_again_changes_its_name(client: Client, profile: Profile, stored: str) -> None:
    assert upload(client, encode("PNG")).status_code == 302

    assert name(profile) != stored


def test_new_picture_replaces_the_old_one(client: Client, profile: Profile, media: Path, stored: str) -> None:
    assert upload(client, encode("JPEG", (30, 30))).status_code == 302

    assert files(media) == {name(profile)} != {stored}


def save_new_picture(profile: Profile) -> None:
    services.update_profile(profile, picture=ContentFile(encode("WEBP")), remove_picture=False)


def test_old_picture_is_deleted_after_the_commit(profile: Profile, media: Path, stored: str) -> None:
    with transaction.atomic():
        save_new_picture(profile)
        before = files(media)

    assert before == {stored, name(profile)}
    assert files(media) == {name(profile)}


def test_old_picture_is_kept_after_a_rollback(profile: Profile, media: Path, stored: str) -> None:
    with transaction.atomic():
        save_new_picture(profile)
        transaction.set_rollback(True)

    assert name(profile) == stored
    assert stored in files(media)


def is_lock_awaited() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("first", "second", "has_picture"),
    [
        ("replace", "replace", True),
        ("replace", "keep", True),
        ("keep", "replace", True),
        ("replace", "remove", False),
        ("remove", "replace", True),
        ("remove", "keep", False),
    ],
)
def test_concurrent_updates_lose_no_picture_and_leave_no_file_behind(
    profile: Profile, media: Path, stored: str, first: str, second: str, has_picture: bool
) -> None:
    # given two requests that have read the profile
    one, other = Profile.objects.get(), Profile.objects.get()

    def update(profile: Profile, change: str) -> None:
        picture = ContentFile(encode("WEBP")) if change == "replace" else None
        services.update_profile(profile, picture=picture, remove_picture=change == "remove")

    def update_other() -> None:
        try:
            update(other, second)
        finally:
            connections.close_all()

    # when the second updates it before the first commits
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            update(one, first)
            updated = pool.submit(update_other)
            processes.wait_until(is_lock_awaited)
        updated.result()

    # then the stored picture is the only file
    assert bool(name(profile)) is has_picture
    assert files(media) == ({name(profile)} if has_picture else set())
    assert name(profile) != stored


def test_failure_to_delete_the_old_picture_is_logged_and_the_new_one_is_stored(
    client: Client, profile: Profile, media: Path, stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    (media / stored).unlink()
    (media / stored / "file").mkdir(parents=True)  # a folder with content: the storage cannot delete it

    response = upload(client, encode("PNG"))

    assert response.status_code == 302
    assert files(media) == {name(profile)}
    assert "Error calling update_profile.<locals>.<lambda> in on_commit()" in caplog.text


def test_changing_the_display_name_keeps_the_picture(
    client: Client, profile: Profile, media: Path, stored: str
) -> None:
    assert client.post(PROFILE, {"display_name": "Ada L."}).status_code == 302

    assert (name(profile), profile.display_name, files(media)) == (stored, "Ada L.", {stored})


INVALID_UPLOADS = {
    "svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        INVALID,
    ),
    "gif": (encode("GIF"), INVALID),
    "truncated-jpeg": (encode("JPEG", (400, 400))[:600], INVALID),
    "truncated-png": (encode("PNG")[:60], INVALID),
    "empty": (b"", "The submitted file is empty."),
    "decompression-bomb": (png_with_size(60_000, 60_000), TOO_MANY_PIXELS),
    "over-2-mb": (encode("PNG") + bytes(2 * 1024 * 1024), TOO_LARGE),
}


@pytest.mark.parametrize(("content", "message"), INVALID_UPLOADS.values(), ids=INVALID_UPLOADS.keys())
def test_invalid_picture_is_a_form_error_and_changes_nothing(
    client: Client, profile: Profile, media: Path, stored: str, content: bytes, message: str
) -> None:
    response = upload(client, content, display_name="Somebody else")

    assert response.status_code == 200
    assert response.context["form"].errors == {"picture": [message]}
    page = response.content.decode()
    assert message in page
    assert f'src="/media/{stored}"' in page
    assert (name(profile), profile.display_name, files(media)) == (stored, "Ada", {stored})


def test_picture_of_exactly_2_mb_is_accepted(client: Client, profile: Profile, media: Path) -> None:
    picture = encode("PNG")
    content = picture + bytes(2 * 1024 * 1024 - len(picture))  # data after the picture is ignored

    assert upload(client, content).status_code == 302

    assert files(media) == {name(profile)}


NOT_STORED = "The picture could not be stored. Try again later."


def test_storage_failure_is_a_form_error_and_changes_nothing(
    client: Client, profile: Profile, media: Path, events: list[dict[str, Any]]
) -> None:
    media.write_bytes(b"not a folder")

    response = upload(client, encode("PNG"), display_name="Somebody else")

    assert response.status_code == 200
    assert response.context["form"].errors == {"picture": [NOT_STORED]}
    assert (name(profile), profile.display_name) == ("", "Ada")
    assert [event["event"] for event in events if event["log_level"] == "error"] == ["picture_not_stored"]


def test_unresponsive_bucket_is_a_form_error_within_seconds(client: Client, profile: Profile) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bucket = {"AWS_STORAGE_BUCKET_NAME": "shop", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
        with gunicorn(AWS_S3_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}", **bucket) as service:
            cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": "a" * 32}
            form = {"display_name": "Somebody else", "csrfmiddlewaretoken": "a" * 32}
            started = time.monotonic()

            response = requests.post(
                service.url + PROFILE, form, files={"picture": encode("PNG")}, cookies=cookies, timeout=60
            )

            seconds = time.monotonic() - started
    assert (response.status_code, html.escape(NOT_STORED) in response.text) == (200, True)
    assert seconds < 45  # ten, and minutes with botocore's defaults
    assert (name(profile), profile.display_name) == ("", "Ada")


@pytest.mark.usefixtures("stored")
def test_picture_is_removed_on_request(client: Client, profile: Profile, media: Path) -> None:
    response = client.post(PROFILE, {"display_name": "Ada", "remove_picture": "on"})

    assert response.status_code == 302
    assert (name(profile), profile.display_name, files(media)) == ("", "Ada", set())
    assert "/media/" not in client.get(PROFILE).content.decode()


def test_removing_a_picture_without_one_succeeds(client: Client, profile: Profile, media: Path) -> None:
    assert client.post(PROFILE, {"display_name": "Ada", "remove_picture": "on"}).status_code == 302

    assert (name(profile), files(media)) == ("", set())


def test_new_picture_together_with_removal_is_a_form_error(
    client: Client, profile: Profile, media: Path, stored: str
) -> None:
    response = upload(client, encode("PNG"), remove_picture="on")

    assert response.status_code == 200
    assert response.context["form"].errors == {"__all__": ["Choose a new picture or remove the current one, not both."]}
    assert (name(profile), files(media)) == (stored, {stored})
