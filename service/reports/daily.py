"""The daily report: counts the figures of a UTC day, stores them once and caches the stored reports."""

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
REPORT_DAYS = 30  # shown on the page, and generated if missing
CACHE_SECONDS = 24 * 60 * 60
CACHE_SECONDS_INCOMPLETE = 60
VERSION_KEY = "daily-reports-version"


def today() -> date:
    return timezone.now().astimezone(UTC).date()


def count(day: date) -> dict[str, int]:
    """Returns the current figures of the day."""
    start = datetime.combine(day, datetime.min.time(), tzinfo=UTC)
    within = (start, start + timedelta(days=1) - timedelta.resolution)
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
    """Returns the day's report and whether this call created it. Raises ValueError if the day is not over."""
    if day >= today():
        raise ValueError(f"{day} is not over yet (UTC).")
    report, created = DailyReport.objects.get_or_create(day=day, defaults=count(day))
    if created:
        cache.set(VERSION_KEY, uuid4().hex, timeout=None)
    return report, created


def missing_days() -> list[date]:
    """Returns the days without a report from the first report, at most REPORT_DAYS ago, to yesterday."""
    now = today()
    yesterday = now - timedelta(days=1)
    stored = set(DailyReport.objects.values_list("day", flat=True))
    first = max(min(stored, default=yesterday), now - timedelta(days=REPORT_DAYS))
    days = (first + timedelta(days=number) for number in range((now - first).days))
    return [day for day in days if day not in stored]


def recent(today: date) -> Sequence[DailyReport]:
    """Returns the reports of the REPORT_DAYS before today, newest first.

    They are cached for a day or until the next report; for a minute while yesterday's is missing, because
    `generate` cannot invalidate a cache that is down.
    """
    # With the version in the key, a request that read before a new report cannot overwrite the newer entry.
    key = f"daily-reports:{today}:{cache.get(VERSION_KEY)}"
    reports: list[DailyReport] | None = cache.get(key)
    if reports is None:
        reports = list(DailyReport.objects.filter(day__gte=today - timedelta(days=REPORT_DAYS)))
        complete = any(report.day == today - timedelta(days=1) for report in reports)
        cache.set(key, reports, CACHE_SECONDS if complete else CACHE_SECONDS_INCOMPLETE)
    return reports


def remove_expired_sessions() -> int:
    """Returns the number of removed sessions, and adds it to the day's figure in the same transaction."""
    with transaction.atomic():
        removed, _ = Session.objects.filter(expire_date__lt=timezone.now()).delete()
        cleanup, _ = SessionCleanup.objects.get_or_create(day=today())
        SessionCleanup.objects.filter(pk=cleanup.pk).update(removed=F("removed") + removed)
    return removed
