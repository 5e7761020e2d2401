"""A picture on its way through the form: stored as ours, or refused with the stored one left alone."""

import html
import io
import re
import socket
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections, transaction
from django.test import Client
from django.urls import reverse
from PIL import Image
from pytest_django import Settings

from service.accounts import forms
from service.accounts.models import Profile, User
from service.accounts.pictures import NOT_A_PICTURE
from tests.support import processes
from tests.support.gunicorn import gunicorn
from tests.unit.test_pictures import encode, png_of

# Committed for real: the former picture goes when the new one is certain.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue")]

PROFILE = reverse("accounts:profile")


@pytest.fixture
def profile(client: Client) -> Profile:
    """Of the person who is logged in."""
    user = User.objects.create_user("ada", "ada@example.org")
    client.force_login(user)
    return Profile.objects.create(user=user, display_name="Ada")


@pytest.fixture
def media(settings: Settings) -> Path:
    return Path(settings.MEDIA_ROOT)


def name(profile: Profile) -> str:
    """Of the picture, as it is stored."""
    profile.refresh_from_db()
    return str(profile.picture.name)


def files(media: Path) -> set[str]:
    return {str(path.relative_to(media)) for path in media.rglob("*") if path.is_file()}


def upload(client: Client, content: bytes, filename: str = "me.png", **others: str) -> Any:
    return client.post(PROFILE, {"display_name": "Ada", "picture": SimpleUploadedFile(filename, content), **others})


@pytest.fixture
def stored(client: Client, profile: Profile) -> str:
    """The name of the picture that the person has."""
    assert upload(client, encode("PNG")).status_code == 302
    return name(profile)


def archive_behind(content: bytes) -> bytes:
    both = io.BytesIO(content)
    with zipfile.ZipFile(both, "a") as packed:
        packed.writestr("index.html", "<script>alert(1)</script>")
    return both.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_stored_as_a_webp_under_a_name_that_cannot_be_guessed(
    client: Client, profile: Profile, media: Path, form: str
) -> None:
    response = upload(client, encode(form), "Ada at home.svg.html")

    assert (response.status_code, response["Location"]) == (302, PROFILE)
    assert re.fullmatch(r"pictures/[0-9a-f]{32}\.webp", name(profile))
    assert files(media) == {name(profile)}
    with Image.open(media / name(profile)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (40, 20))
    assert f'src="/media/{name(profile)}"' in client.get(PROFILE).content.decode()


def test_the_same_picture_twice_gets_two_names(client: Client, profile: Profile, stored: str) -> None:
    assert upload(client, encode("PNG")).status_code == 302

    assert name(profile) != stored


def test_a_new_picture_replaces_the_former_one(client: Client, profile: Profile, media: Path, stored: str) -> None:
    assert upload(client, encode("JPEG", (30, 30))).status_code == 302

    assert files(media) == {name(profile)} != {stored}


def save_new_picture(profile: Profile) -> None:
    picture = {"picture": SimpleUploadedFile("me.png", encode("PNG"))}
    form = forms.ProfileForm({"display_name": "Ada"}, picture, instance=profile)  # type: ignore[arg-type] # as a request has it
    assert form.is_valid()
    assert form.store()


def test_the_former_picture_is_deleted_when_the_new_one_is_committed_and_not_before(
    profile: Profile, media: Path, stored: str
) -> None:
    with transaction.atomic():
        save_new_picture(profile)
        before = files(media)

    assert before == {stored, name(profile)}
    assert files(media) == {name(profile)}


def test_the_former_picture_stays_when_the_new_one_is_rolled_back(profile: Profile, media: Path, stored: str) -> None:
    with transaction.atomic():
        save_new_picture(profile)
        transaction.set_rollback(True)

    assert name(profile) == stored
    assert stored in files(media)


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("first", "second", "has_picture"),
    [
        ("new", "new", True),
        ("new", "name", True),
        ("name", "new", True),
        ("new", "none", False),
        ("none", "new", True),
        ("none", "name", False),
    ],
)
def test_two_saves_at_once_lose_no_picture_and_leave_none_behind(
    profile: Profile, media: Path, stored: str, first: str, second: str, has_picture: bool
) -> None:
    # given two forms that have read the profile before either is stored
    def form(change: str) -> forms.ProfileForm:
        data = {"display_name": "Ada"} | ({"remove_picture": "on"} if change == "none" else {})
        picture = {"picture": SimpleUploadedFile("me.png", encode("PNG"))} if change == "new" else {}
        form = forms.ProfileForm(data, picture, instance=Profile.objects.get())  # type: ignore[arg-type] # as a request has it
        assert form.is_valid()
        return form

    former, latter = form(first), form(second)

    def save_latter() -> None:
        try:
            latter.store()
        finally:
            connections.close_all()

    # when the second is stored while the first is not yet committed
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            former.store()
            saved = pool.submit(save_latter)
            processes.wait_until(somebody_waits)
        saved.result()

    # then the picture of the row is the only one
    assert bool(name(profile)) is has_picture
    assert files(media) == ({name(profile)} if has_picture else set())
    assert name(profile) != stored


def test_a_former_picture_that_cannot_be_deleted_is_logged_and_the_new_one_is_stored(
    client: Client, profile: Profile, media: Path, stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    (media / stored).unlink()
    (media / stored / "in the way").mkdir(parents=True)  # what no storage deletes, root's neither

    response = upload(client, encode("PNG"))

    assert response.status_code == 302
    assert files(media) == {name(profile)}
    assert "Error calling _after_commit" in caplog.text  # the fault has happened


def test_the_display_name_changes_without_the_picture(
    client: Client, profile: Profile, media: Path, stored: str
) -> None:
    assert client.post(PROFILE, {"display_name": "Ada L."}).status_code == 302

    assert (name(profile), profile.display_name, files(media)) == (stored, "Ada L.", {stored})


REFUSED = {
    "svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        NOT_A_PICTURE,
    ),
    "gif": (encode("GIF"), NOT_A_PICTURE),
    "truncated-jpeg": (encode("JPEG", (400, 400))[:600], NOT_A_PICTURE),
    "truncated-png": (encode("PNG")[:60], NOT_A_PICTURE),
    "empty": (b"", "The submitted file is empty."),
    "bomb": (png_of(4000, 4000), "The picture has more than 12 megapixels. Choose a smaller one."),
    "larger-bomb": (png_of(60_000, 60_000), "The picture has too many pixels. Choose a smaller one."),
    "polyglot": (
        archive_behind(encode("JPEG")),
        "The file holds more than a picture. Save it again in an image editor.",
    ),
    "more-than-2-mb": (
        encode("PNG") + bytes(2 * 1024 * 1024),
        "The picture is larger than 2 MB. Choose a smaller one.",
    ),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_picture_says_why_on_the_form_and_leaves_the_stored_one(
    client: Client, profile: Profile, media: Path, stored: str, content: bytes, message: str
) -> None:
    response = upload(client, content, display_name="Somebody else")

    assert response.status_code == 200
    assert response.context["form"].errors == {"picture": [message]}
    page = response.content.decode()
    assert message in page
    assert f'src="/media/{stored}"' in page
    assert (name(profile), profile.display_name, files(media)) == (stored, "Ada", {stored})


def test_a_picture_of_just_2_mb_is_taken(client: Client, profile: Profile, media: Path) -> None:
    picture = encode("PNG")
    content = picture + bytes(2 * 1024 * 1024 - len(picture))  # padding is no second file

    assert upload(client, content).status_code == 302

    assert files(media) == {name(profile)}


UNSTORED = "The picture can't be stored at the moment. Try it again later."


def test_a_picture_that_the_storage_does_not_take_is_told_on_the_form_and_changes_nothing(
    client: Client, profile: Profile, media: Path, events: list[dict[str, Any]]
) -> None:
    media.write_bytes(b"no folder")

    response = upload(client, encode("PNG"), display_name="Somebody else")

    assert response.status_code == 200
    assert response.context["form"].errors == {"picture": [UNSTORED]}
    assert (name(profile), profile.display_name) == ("", "Ada")
    assert [event["event"] for event in events if event["log_level"] == "error"] == ["picture_not_stored"]


def test_a_store_that_hangs_is_told_on_the_form_in_seconds(client: Client, profile: Profile) -> None:
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
    assert (response.status_code, html.escape(UNSTORED) in response.text) == (200, True)
    assert seconds < 45  # ten, and minutes by botocore's own limits
    assert (name(profile), profile.display_name) == ("", "Ada")


@pytest.mark.usefixtures("stored")
def test_a_picture_is_removed_when_asked(client: Client, profile: Profile, media: Path) -> None:
    response = client.post(PROFILE, {"display_name": "Ada", "remove_picture": "on"})

    assert response.status_code == 302
    assert (name(profile), profile.display_name, files(media)) == ("", "Ada", set())
    assert "/media/" not in client.get(PROFILE).content.decode()


def test_removing_no_picture_is_no_error(client: Client, profile: Profile, media: Path) -> None:
    assert client.post(PROFILE, {"display_name": "Ada", "remove_picture": "on"}).status_code == 302

    assert (name(profile), files(media)) == ("", set())


def test_a_new_picture_and_its_removal_at_once_is_a_form_error(
    client: Client, profile: Profile, media: Path, stored: str
) -> None:
    response = upload(client, encode("PNG"), remove_picture="on")

    assert response.status_code == 200
    assert response.context["form"].errors == {"__all__": ["Choose a new picture or remove the old one, not both."]}
    assert (name(profile), files(media)) == (stored, {stored})
