"""The number of queries of each page; none depends on the number of rows."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, reverse
from pytest_django import DjangoAssertNumQueries, Settings
from zeal import NPlusOneError

from service.accounts.models import Profile, User
from service.reports import daily
from service.reports.models import DailyReport
from tests.support.tasks import Queue
from tests.unit.test_pictures import encode

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queue"), pytest.mark.urls(__name__)]


def n_plus_one(request: HttpRequest) -> HttpResponse:
    return HttpResponse(",".join(profile.user.username for profile in Profile.objects.all()))


urlpatterns = [path("rows/", n_plus_one), path("", include("service.urls"))]


@pytest.fixture
def user(client: Client, queue: Queue) -> User:
    """A logged-in superuser with a profile."""
    user = User.objects.create_user("ada", "ada@example.org", "correct-horse-7", is_staff=True, is_superuser=True)
    Profile.objects.create(user=user, display_name="Ada")
    client.force_login(user)
    return user


def test_n_plus_one_query_raises(client: Client, user: User) -> None:
    Profile.objects.create(user=User.objects.create_user("grace"))

    with pytest.raises(NPlusOneError, match=r"N\+1 detected on accounts\.Profile\.user"):
        client.get("/rows/")


@pytest.mark.parametrize(
    "name",
    ["home", "accounts:login", "accounts:sign_up", "accounts:password_reset", "accounts:password_reset_sent"],
)
def test_public_page_makes_no_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, name: str
) -> None:
    with django_assert_num_queries(0):
        assert client.get(reverse(name)).status_code == 200


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("home", 1),  # the user; the session is cached
        ("accounts:password_change", 1),
        ("accounts:profile", 2),
        ("reports:index", 7),  # the user, today's five figures, the reports
        ("reports:csv", 2),
        ("admin:index", 2),
    ],
)
def test_number_of_queries_of_a_page(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, name: str, queries: int
) -> None:
    with django_assert_num_queries(queries):
        assert client.get(reverse(name)).status_code == 200


def sign_up(client: Client) -> Any:
    new = {"username": "new", "email": "new@example.org", "password1": "new-horse-8", "password2": "new-horse-8"}
    return client.post(reverse("accounts:sign_up"), new)


def login(client: Client) -> Any:
    return client.post(reverse("accounts:login"), {"username": "ada", "password": "correct-horse-7"})


def save_profile(client: Client) -> Any:
    return client.post(reverse("accounts:profile"), {"display_name": "Ada L."})


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(("send", "queries"), [(sign_up, 11), (login, 10), (save_profile, 6)])
def test_number_of_queries_of_a_form(
    client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
    send: Callable[[Client], Any],
    queries: int,
) -> None:
    if send is not save_profile:
        client.logout()

    with django_assert_num_queries(queries):  # savepoints included
        assert send(client).status_code == 302


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("days", [1, 30])
def test_number_of_queries_of_the_report_page_does_not_depend_on_the_number_of_reports(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    today = date(2026, 3, 20)
    monkeypatch.setattr(daily, "today", lambda: today)
    for ago in range(1, days + 1):
        DailyReport.objects.create(day=today - timedelta(days=ago), **dict.fromkeys(daily.FIGURES, ago))

    with django_assert_num_queries(7):
        first = client.get(reverse("reports:index"))
    with django_assert_num_queries(6):  # the reports are cached
        client.get(reverse("reports:index"))

    assert first.content.decode().count('<th scope="row">') == days


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("model", ["user", "profile", "mail"])
@pytest.mark.parametrize("rows", [1, 20])
def test_number_of_queries_of_an_admin_list_does_not_depend_on_the_number_of_rows(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, model: str, rows: int
) -> None:
    for number in range(rows):
        other = User.objects.create_user(f"user-{number}", f"user-{number}@example.org")
        Profile.objects.create(user=other)
        other.mail.create(kind="welcome")

    with django_assert_num_queries({"user": 5, "profile": 4, "mail": 6}[model]):
        response = client.get(f"/admin/accounts/{model}/")

    assert response.context["cl"].result_count >= rows


def test_media_file_makes_no_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, settings: Settings
) -> None:
    settings.MEDIA_ROOT.mkdir()
    (settings.MEDIA_ROOT / "me.webp").write_bytes(encode("WEBP"))

    with django_assert_num_queries(0):
        response = client.get("/media/me.webp")

    assert response.status_code == 200
    response.close()
