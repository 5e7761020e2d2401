"""The figures of a UTC day: counted, stored once, read from the cache."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from service.accounts.models import Login, Mail, User
from service.reports.models import DailyReport, SessionCleanup

FIGURES = ("sign_ups", "logins", "mails_sent", "mails_failed", "sessions_removed")
SHOWN_DAYS = 30
CACHED_SECONDS = 24 * 60 * 60
INCOMPLETE_SECONDS = 60
VERSION = "daily-reports-version"


def today() -> date:
    return timezone.now().astimezone(UTC).date()


def count(day: date) -> dict[str, int]:
    """The figures of the day as they stand now."""
    begin = datetime.combine(day, datetime.min.time(), tzinfo=UTC)
    within = (begin, begin + timedelta(days=1) - timedelta.resolution)
    mails = Mail.objects.filter(changed_at__range=within)
    cleanup = SessionCleanup.objects.filter(day=day).first()
    return {
        "sign_ups": User.objects.filter(date_joined__range=within).count(),
        "logins": Login.objects.filter(at__range=within).count(),
        "mails_sent": mails.filter(state=Mail.State.SENT).count(),
        "mails_failed": mails.filter(state=Mail.State.FAILED).count(),
        "sessions_removed": cleanup.removed if cleanup else 0,
    }


def generate(day: date) -> tuple[DailyReport, bool]:
    """The day's report and whether it was this call that made it; ValueError for a day that isn't over."""
    if day >= today():
        raise ValueError(f"{day} is not over (UTC).")
    report, created = DailyReport.objects.get_or_create(day=day, defaults=count(day))
    if created:
        cache.set(VERSION, uuid4().hex, timeout=None)
    return report, created


def missing_days() -> list[date]:
    """Yesterday, and each day since the first report, of those that the page shows, that has no report."""
    day = today()
    yesterday, shown = day - timedelta(days=1), day - timedelta(days=SHOWN_DAYS)
    stored = set(DailyReport.objects.values_list("day", flat=True))
    first = max(min(stored, default=yesterday), shown)
    days = (first + timedelta(days=number) for number in range((yesterday - first).days + 1))
    return [day for day in days if day not in stored]


def latest(today: date) -> Sequence[DailyReport]:
    """The reports of the SHOWN_DAYS before today, newest first; cached for a day or until there is a new one.

    Without yesterday's for a minute only: the cache may have been away when that was stored.
    """
    # A page that has read before a new report stores what it read under the former version: nobody asks for that.
    key = f"daily-reports:{today}:{cache.get(VERSION)}"
    reports: list[DailyReport] | None = cache.get(key)
    if reports is None:
        reports = list(DailyReport.objects.filter(day__gte=today - timedelta(days=SHOWN_DAYS)))
        complete = any(report.day == today - timedelta(days=1) for report in reports)
        cache.set(key, reports, CACHED_SECONDS if complete else INCOMPLETE_SECONDS)
    return reports


def remove_expired_sessions() -> int:
    """How many there were. Removed and counted in one transaction: run twice, each counts once."""
    with transaction.atomic():
        removed, _ = Session.objects.filter(expire_date__lt=timezone.now()).delete()
        cleanup, _ = SessionCleanup.objects.get_or_create(day=today())
        SessionCleanup.objects.filter(pk=cleanup.pk).update(removed=F("removed") + removed)
    return removed
