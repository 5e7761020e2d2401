"""The daily report, for staff."""

import csv
import io
from datetime import timedelta

from django.contrib.auth.decorators import user_passes_test
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from mainstay.media import download

from service.reports import chart, daily
from service.reports.models import DailyReport


def _is_staff(user: object) -> bool:
    """Anonymous people are sent to the login; whoever is logged in without being staff gets 403."""
    if getattr(user, "is_authenticated", False) and not getattr(user, "is_staff", False):
        raise PermissionDenied
    return bool(getattr(user, "is_staff", False))


@require_safe
@user_passes_test(_is_staff)
def index(request: HttpRequest) -> HttpResponse:
    today = daily.today()
    reports = daily.latest(today)
    context = {
        "reports": reports,
        "so_far": daily.count(today),
        "today": today,
        "days": daily.SHOWN_DAYS,
        "chart": chart.draw(reports, today - timedelta(days=1), daily.SHOWN_DAYS),
    }
    return render(request, "reports/index.html", context)


@require_safe
@user_passes_test(_is_staff)
def table(request: HttpRequest) -> HttpResponse:
    """Every stored report as CSV (RFC 4180), oldest first."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["day", *daily.FIGURES])
    writer.writerows(DailyReport.objects.order_by("day").values_list("day", *daily.FIGURES))
    return download(text.getvalue().encode(), "daily-reports.csv", "text/csv; charset=utf-8")
