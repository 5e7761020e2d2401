"""The daily report, for staff only."""

import csv
import io
from datetime import timedelta

from django.contrib.auth.decorators import user_passes_test
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mainstay.media import download
from service.accounts.models import User
from service.reports import chart, daily
from service.reports.models import DailyReport


def _is_staff(user: User | AnonymousUser) -> bool:
    """Redirects anonymous users to the login page; raises PermissionDenied for other users."""
    if user.is_authenticated and not user.is_staff:
        raise PermissionDenied
    return user.is_authenticated


@require_safe
@user_passes_test(_is_staff)
def index(request: HttpRequest) -> HttpResponse:
    today = daily.today()
    reports = daily.recent(today)
    context = {
        "reports": reports,
        "so_far": daily.count(today),
        "today": today,
        "days": daily.REPORT_DAYS,
        "chart": chart.build(reports, today - timedelta(days=1), daily.REPORT_DAYS),
    }
    return render(request, "reports/index.html", context)


@require_safe
@user_passes_test(_is_staff)
def export(request: HttpRequest) -> HttpResponse:
    """Returns all stored reports as CSV (RFC 4180), oldest first."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["day", *daily.FIGURES])
    writer.writerows(DailyReport.objects.order_by("day").values_list("day", *daily.FIGURES))
    return download(text.getvalue().encode(), "daily-reports.csv", "text/csv; charset=utf-8")
