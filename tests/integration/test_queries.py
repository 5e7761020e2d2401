"""What a page may ask of the database: so many queries, and never one a row."""

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


def one_query_a_row(request: HttpRequest) -> HttpResponse:
    return HttpResponse(",".join(profile.user.username for profile in Profile.objects.all()))


urlpatterns = [path("rows/", one_query_a_row), path("", include("service.urls"))]


@pytest.fixture
def user(client: Client, queue: Queue) -> User:
    """Staff, logged in, with a profile."""
    user = User.objects.create_user("ada", "ada@example.org", "correct-horse-7", is_staff=True, is_superuser=True)
    Profile.objects.create(user=user, display_name="Ada")
    client.force_login(user)
    return user


def test_a_view_that_asks_once_a_row_raises_here(client: Client, user: User) -> None:
    Profile.objects.create(user=User.objects.create_user("grace"))

    with pytest.raises(NPlusOneError, match=r"N\+1 detected on accounts\.Profile\.user"):
        client.get("/rows/")


@pytest.mark.parametrize(
    "name",
    ["home", "accounts:login", "accounts:sign_up", "accounts:password_reset", "accounts:password_reset_sent"],
)
def test_a_page_for_the_anonymous_makes_no_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, name: str
) -> None:
    with django_assert_num_queries(0):
        assert client.get(reverse(name)).status_code == 200


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("home", 1),  # the user; the session is in the cache
        ("accounts:password_change", 1),
        ("accounts:profile", 2),
        ("reports:index", 7),  # the user, today's five figures, the reports
        ("reports:csv", 2),
        ("admin:index", 2),
    ],
)
def test_a_page_for_who_is_logged_in_makes_so_many_queries(
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
def test_a_form_makes_so_many_queries(
    client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
    send: Callable[[Client], Any],
    queries: int,
) -> None:
    if send is not save_profile:
        client.logout()

    with django_assert_num_queries(queries):  # with those of savepoints, which stand for a transaction's
        assert send(client).status_code == 302


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("days", [1, 30])
def test_the_report_page_makes_as_many_queries_for_30_reports_as_for_one(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    today = date(2026, 3, 20)
    monkeypatch.setattr(daily, "today", lambda: today)
    for ago in range(1, days + 1):
        DailyReport.objects.create(day=today - timedelta(days=ago), **dict.fromkeys(daily.FIGURES, ago))

    with django_assert_num_queries(7):
        first = client.get(reverse("reports:index"))
    with django_assert_num_queries(6):  # the reports are in the cache by now
        client.get(reverse("reports:index"))

    assert first.content.decode().count('<th scope="row">') == days


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("model", ["user", "profile", "mail"])
@pytest.mark.parametrize("rows", [1, 20])
def test_a_list_of_the_admin_makes_as_many_queries_for_20_rows_as_for_one(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, model: str, rows: int
) -> None:
    for number in range(rows):
        other = User.objects.create_user(f"user-{number}", f"user-{number}@example.org")
        Profile.objects.create(user=other)
        other.mail.create(kind="welcome")

    with django_assert_num_queries({"user": 5, "profile": 4, "mail": 6}[model]):
        response = client.get(f"/admin/accounts/{model}/")

    assert response.context["cl"].result_count >= rows


def test_media_makes_no_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, settings: Settings
) -> None:
    settings.MEDIA_ROOT.mkdir()
    (settings.MEDIA_ROOT / "me.webp").write_bytes(encode("WEBP"))

    with django_assert_num_queries(0):
        response = client.get("/media/me.webp")

    assert response.status_code == 200
    response.close()
