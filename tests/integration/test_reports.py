"""The daily report: counted per UTC day, stored once, displayed to staff."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from service.accounts.models import Login, Mail, User
from service.reports import daily, tasks
from service.reports.models import DailyReport, SessionCleanup
from tests.support.tasks import Queue

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queue")]

INDEX, CSV = reverse("reports:index"), reverse("reports:csv")
DAY = date(2026, 3, 10)
TODAY = date(2026, 3, 20)
FIRST = datetime(2026, 3, 10, tzinfo=UTC)
LAST = datetime(2026, 3, 10, 23, 59, 59, 999_999, tzinfo=UTC)
BEFORE, AFTER = FIRST - timedelta.resolution, LAST + timedelta.resolution
CSV_HEADER = b"day,sign_ups,logins,mails_sent,mails_failed,sessions_removed\r\n"


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> date:
    """A fixed current date."""
    monkeypatch.setattr(daily, "today", lambda: TODAY)
    return TODAY


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_user("boss", "boss@example.org", is_staff=True))
    return client


def make_user(name: str, joined: datetime) -> User:
    return User.objects.create_user(name, f"{name}@example.org", date_joined=joined)


def make_report(day: date, **figures: int) -> DailyReport:
    return DailyReport.objects.create(day=day, **dict.fromkeys(daily.FIGURES, 0) | figures)


def figures(report: DailyReport) -> list[int]:
    return [getattr(report, name) for name in daily.FIGURES]


# --- counting ------------------------------------------------------------------------------------


def test_count_includes_the_first_and_last_microsecond_of_the_day_only() -> None:
    for moment in (BEFORE, FIRST, LAST, AFTER):
        user = make_user(f"user-{moment.isoformat()}".replace(":", "-"), moment)
        for _ in range(2):
            login = Login.objects.create(user=user)
            Login.objects.filter(pk=login.pk).update(at=moment)
        for state, count in ((Mail.State.SENT, 3), (Mail.State.FAILED, 4), ("pending", 5), ("sending", 6)):
            for _ in range(count):
                mail = Mail.objects.create(user=user, kind=Mail.Kind.PASSWORD_RESET, state=state)
                Mail.objects.filter(pk=mail.pk).update(changed_at=moment)
    for day, removed in ((DAY - timedelta(days=1), 1), (DAY, 7), (DAY + timedelta(days=1), 2)):
        SessionCleanup.objects.create(day=day, removed=removed)

    assert daily.count(DAY) == {
        "sign_ups": 2,  # the one at 00:00 and the one at 23:59:59.999999
        "logins": 4,
        "mails_sent": 6,
        "mails_failed": 8,
        "sessions_removed": 7,
    }


def test_count_of_a_day_without_activity_is_zero() -> None:
    make_user("ada", AFTER)

    assert daily.count(DAY) == dict.fromkeys(daily.FIGURES, 0)


# --- storing -------------------------------------------------------------------------------------


def test_stored_report_is_not_changed_by_later_activity() -> None:
    make_user("ada", FIRST)
    first, made = daily.generate(DAY)
    make_user("grace", FIRST)

    again, made_again = daily.generate(DAY)

    assert (made, made_again, again.pk) == (True, False, first.pk)
    assert [(report.day, figures(report)) for report in DailyReport.objects.all()] == [(DAY, [1, 0, 0, 0, 0])]
    assert str(again) == "report of 2026-03-10"


@pytest.mark.django_db(transaction=True)
def test_concurrent_calls_store_one_report(monkeypatch: pytest.MonkeyPatch) -> None:
    make_user("ada", FIRST)
    both_ready = threading.Barrier(2, timeout=20)
    original = daily.count

    def synchronized(day: date) -> dict[str, int]:
        figures = original(day)
        assert not DailyReport.objects.exists()
        both_ready.wait()  # both have counted, and neither has stored
        return figures

    monkeypatch.setattr(daily, "count", synchronized)

    def generate(_: int) -> bool:
        try:
            return daily.generate(DAY)[1]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        made = sorted(pool.map(generate, range(2)))

    assert made == [False, True]
    assert [figures(report) for report in DailyReport.objects.all()] == [[1, 0, 0, 0, 0]]


@pytest.mark.parametrize("ahead", [0, 1])
def test_report_of_an_unfinished_day_is_rejected(today: date, ahead: int) -> None:
    day = today + timedelta(days=ahead)

    with pytest.raises(ValueError, match=rf"^{day} is not over yet \(UTC\)\.$"):
        daily.generate(day)

    assert not DailyReport.objects.exists()


def test_first_report_is_for_yesterday(today: date) -> None:
    tasks.generate_daily_report.run()

    assert [report.day for report in DailyReport.objects.all()] == [date(2026, 3, 19)]


def test_missed_days_are_generated_once(today: date, events: list[dict[str, Any]]) -> None:
    make_report(date(2026, 3, 16))
    make_user("ada", datetime(2026, 3, 18, 12, tzinfo=UTC))

    tasks.generate_daily_report.run()
    tasks.generate_daily_report.run()

    assert [event["days"] for event in events] == [["2026-03-17", "2026-03-18", "2026-03-19"], []]
    assert {str(report.day): report.sign_ups for report in DailyReport.objects.all()} == {
        "2026-03-16": 0,
        "2026-03-17": 0,
        "2026-03-18": 1,
        "2026-03-19": 0,
    }


def test_at_most_30_missed_days_are_generated(today: date, events: list[dict[str, Any]]) -> None:
    make_report(date(2025, 1, 1))

    tasks.generate_daily_report.run()

    (days,) = [event["days"] for event in events]
    assert (len(days), days[0], days[-1]) == (30, "2026-02-18", "2026-03-19")


def test_task_runs_in_a_worker_and_logs_the_generated_days(
    queue: Queue, today: date, events: list[dict[str, Any]]
) -> None:
    tasks.generate_daily_report.delay()

    assert queue.take().run() == "SUCCESS"

    assert DailyReport.objects.get().day == date(2026, 3, 19)
    assert {"event": "daily_report_generated", "log_level": "info", "days": ["2026-03-19"]} in events


def command(name: str, *arguments: str) -> str:
    output = StringIO()
    call_command(name, *arguments, stdout=output)
    return output.getvalue()


def test_command_stores_one_day_and_prints_whether_it_was_already_stored() -> None:
    assert command("generate_daily_report", "--day", "2026-03-10") == "2026-03-10: stored.\n"
    assert command("generate_daily_report", "--day", "2026-03-10") == "2026-03-10: already stored.\n"

    assert [report.day for report in DailyReport.objects.all()] == [DAY]


def test_command_without_day_stores_all_missing_days(today: date) -> None:
    make_report(date(2026, 3, 17))

    assert command("generate_daily_report") == "2026-03-18: stored.\n2026-03-19: stored.\n"
    assert command("generate_daily_report") == "No report is missing.\n"


def test_command_rejects_an_unfinished_day(today: date) -> None:
    with pytest.raises(CommandError, match=r"^2026-03-20 is not over yet \(UTC\)\.$"):
        command("generate_daily_report", "--day", "2026-03-20")

    assert not DailyReport.objects.exists()


def test_command_rejects_an_invalid_date() -> None:
    with pytest.raises(CommandError, match="argument --day: invalid fromisoformat value: '2026-02-30'"):
        command("generate_daily_report", "--day", "2026-02-30")


# --- sessions ------------------------------------------------------------------------------------


def make_session(key: str, ends_in: timedelta) -> None:
    Session.objects.create(session_key=key, session_data="", expire_date=datetime.now(UTC) + ends_in)


def test_expired_sessions_are_removed_and_counted_once(today: date, events: list[dict[str, Any]]) -> None:
    for number in range(3):
        make_session(f"old-{number}", timedelta(seconds=-1 - number))
    make_session("young", timedelta(minutes=5))

    tasks.cleanup_expired_sessions.run()
    tasks.cleanup_expired_sessions.run()

    assert [session.session_key for session in Session.objects.all()] == ["young"]
    assert [(cleanup.day, cleanup.removed, str(cleanup)) for cleanup in SessionCleanup.objects.all()] == [
        (today, 3, "cleanup of 2026-03-20")
    ]
    assert daily.count(today)["sessions_removed"] == 3
    assert events == [
        {"event": "expired_sessions_removed", "log_level": "info", "count": 3},
        {"event": "expired_sessions_removed", "log_level": "info", "count": 0},
    ]


def test_second_cleanup_of_a_day_adds_to_its_count(today: date) -> None:
    make_session("first", timedelta(seconds=-1))
    assert daily.remove_expired_sessions() == 1
    make_session("second", timedelta(seconds=-1))
    make_session("third", timedelta(seconds=-1))

    assert daily.remove_expired_sessions() == 2

    assert SessionCleanup.objects.get().removed == 3


@pytest.mark.django_db(transaction=True)
def test_concurrent_cleanups_count_each_session_once(today: date) -> None:
    for number in range(50):
        make_session(f"old-{number}", timedelta(seconds=-1))
    both_ready = threading.Barrier(2, timeout=20)

    def clean(_: int) -> int:
        try:
            both_ready.wait()
            return daily.remove_expired_sessions()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        removed = list(pool.map(clean, range(2)))

    assert sum(removed) == SessionCleanup.objects.get().removed == 50
    assert not Session.objects.exists()


def test_session_cleanup_logs_out_expired_sessions_only(client: Client) -> None:
    user = make_user("ada", FIRST)
    other = Client()
    client.force_login(user)
    other.force_login(user)
    Session.objects.filter(session_key=client.session.session_key).update(expire_date=FIRST)

    assert daily.remove_expired_sessions() == 1

    cache.clear()  # in the cache, the session would have expired too
    assert client.get(reverse("accounts:profile")).status_code == 302
    assert other.get(reverse("accounts:profile")).status_code == 200


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [INDEX, CSV])
def test_anonymous_user_is_redirected_to_login(client: Client, address: str) -> None:
    response = client.get(address)

    assert (response.status_code, response["Location"]) == (302, f"{reverse('accounts:login')}?next={address}")


@pytest.mark.parametrize("address", [INDEX, CSV])
def test_user_who_is_not_staff_gets_403(client: Client, address: str) -> None:
    make_report(DAY, sign_ups=4711)
    client.force_login(make_user("ada", FIRST))

    response = client.get(address)

    assert response.status_code == 403
    assert b"Access denied" in response.content
    assert b"4711" not in response.content


@pytest.mark.parametrize("address", [INDEX, CSV])
def test_report_pages_allow_get_and_head_only(staff: Client, address: str) -> None:
    head, post = staff.head(address), staff.post(address)

    assert (head.status_code, head.content) == (200, b"")
    assert (post.status_code, post["Allow"]) == (405, "GET, HEAD")


def test_page_without_reports_states_when_the_first_is_generated(staff: Client) -> None:
    page = staff.get(INDEX).content.decode()

    assert "No reports yet." in page
    assert "<table" not in page
    assert '<svg viewBox="-32' not in page


def test_page_shows_todays_figures_and_the_stored_reports(staff: Client, today: date) -> None:
    make_user("ada", datetime(2026, 3, 20, 8, tzinfo=UTC))
    make_report(date(2026, 3, 19), sign_ups=12, logins=34, mails_sent=56, mails_failed=7, sessions_removed=890)
    make_report(date(2026, 2, 17), sign_ups=4711)  # 31 days ago

    response = staff.get(INDEX)

    page = response.content.decode()
    assert response.context["so_far"] == dict.fromkeys(daily.FIGURES, 0) | {"sign_ups": 1}
    assert '<th scope="row">2026-03-19</th><td>12</td><td>34</td><td>56</td><td>7</td><td>890</td>' in page
    assert "<title>2026-03-19: 12 sign-ups</title>" in page
    assert "<title>2026-03-19: 34 logins</title>" in page
    assert page.count('<th scope="row">') == 1
    assert "4711" not in page


def test_each_operation_reads_the_date_once(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for operation in (lambda: staff.get(INDEX), daily.missing_days, daily.remove_expired_sessions):
        days = [TODAY]
        monkeypatch.setattr(daily, "today", days.pop)  # a second call raises IndexError
        operation()
        assert days == []


def report_queries(client: Client) -> tuple[int, str]:
    """Returns the number of queries for reports, and the page."""
    with CaptureQueriesContext(connection) as queries:
        page = client.get(INDEX).content.decode()
    return sum("reports_dailyreport" in query["sql"] for query in queries), page


@pytest.mark.parametrize(("newest", "seconds"), [(date(2026, 3, 19), 24 * 60 * 60), (date(2026, 3, 18), 60)])
def test_reports_are_cached_for_a_day_or_for_a_minute_while_yesterdays_is_missing(
    today: date, newest: date, seconds: int
) -> None:
    make_report(newest)

    assert [report.day for report in daily.recent(today)] == [newest]

    (key,) = cache.keys("daily-reports:*")  # type: ignore[attr-defined] # of django-redis
    assert seconds - 30 <= cache.ttl(key) <= seconds  # type: ignore[attr-defined] # of django-redis


def test_new_report_invalidates_the_cache(staff: Client, today: date) -> None:
    make_report(date(2026, 3, 17), sign_ups=1)
    assert report_queries(staff)[0] == 1
    assert report_queries(staff)[0] == 0

    tasks.generate_daily_report.run()

    count, page = report_queries(staff)
    assert count == 1
    assert '<th scope="row">2026-03-19</th>' in page


def test_request_that_read_before_a_new_report_does_not_overwrite_the_cache(
    today: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, created = cache.set, []

    def delayed(key: str, *arguments: Any, **options: Any) -> Any:
        if key.startswith("daily-reports:"):
            created.append(daily.generate(DAY)[1])  # after the query, before the cache is written
        return original(key, *arguments, **options)

    monkeypatch.setattr(cache, "set", delayed)

    assert daily.recent(today) == []
    assert [report.day for report in daily.recent(today)] == [DAY]
    assert created == [True, False]


def test_already_stored_report_does_not_invalidate_the_cache(staff: Client, today: date) -> None:
    make_report(DAY)
    assert report_queries(staff)[0] == 1

    daily.generate(DAY)

    assert report_queries(staff)[0] == 0


def test_csv_contains_all_reports_oldest_first(staff: Client) -> None:
    make_report(date(2026, 3, 11), sign_ups=1, logins=2, mails_sent=3, mails_failed=4, sessions_removed=5)
    make_report(date(2024, 2, 29), sign_ups=10)

    response = staff.get(CSV)

    assert response.content == CSV_HEADER + b"2024-02-29,10,0,0,0,0\r\n2026-03-11,1,2,3,4,5\r\n"
    assert {name: response.get(name) for name in ("Content-Type", "Content-Disposition", "Cache-Control")} == {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": 'attachment; filename="daily-reports.csv"',
        "Cache-Control": "private, no-store",
    }
    assert "X-Accel-Redirect" not in response


def test_csv_without_reports_contains_the_header_only(staff: Client) -> None:
    assert staff.get(CSV).content == CSV_HEADER


def test_csv_is_sent_by_nginx_if_accel_redirect_is_configured(
    staff: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.ACCEL_REDIRECT_ROOT = str(tmp_path / "accel")
    (tmp_path / "accel").mkdir()
    make_report(DAY, logins=7)

    for _ in range(2):  # the second response replaces the file
        response = staff.get(CSV)

        assert (response.status_code, response.content) == (200, b"")
        assert {name: response.get(name) for name in ("X-Accel-Redirect", "Content-Type", "Content-Disposition")} == {
            "X-Accel-Redirect": "/accel/daily-reports.csv",
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="daily-reports.csv"',
        }
        (file,) = (tmp_path / "accel").iterdir()
        assert (file.name, file.read_bytes()) == ("daily-reports.csv", CSV_HEADER + b"2026-03-10,0,7,0,0,0\r\n")
        assert file.stat().st_mode & 0o777 == 0o640


def test_admin_lists_reports(client: Client) -> None:
    make_report(DAY)
    client.force_login(User.objects.create_superuser("root"))

    assert client.get("/admin/reports/dailyreport/").context["cl"].result_count == 1


def test_report_is_read_only_in_the_admin(client: Client) -> None:
    one = make_report(DAY, logins=7)
    client.force_login(User.objects.create_superuser("root"))
    address = f"/admin/reports/dailyreport/{one.pk}"

    assert client.get(f"{address}/change/").status_code == 200
    assert client.post(f"{address}/change/", {"day": DAY, "logins": 8}).status_code == 403
    assert client.post(f"{address}/delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/reports/dailyreport/add/").status_code == 403
    assert DailyReport.objects.get().logins == 7
