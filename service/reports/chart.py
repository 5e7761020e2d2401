"""The geometry of the report page's bar chart; the template renders it as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from service.reports.models import DailyReport

WIDTH, HEIGHT = 720, 200  # in units of the SVG's view box
GAP = 0.28  # between the bars of two days, as a fraction of a day's width


@dataclass(frozen=True)
class Bar:
    figure: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Chart:
    bars: list[Bar]
    lines: list[tuple[float, int]]  # y and value
    labels: list[tuple[float, str]]  # x and day
    width: int = WIDTH
    height: int = HEIGHT


def build(reports: Sequence[DailyReport], last: date, days: int) -> Chart:
    """Returns a pair of bars, sign-ups and logins, for each of the `days` up to `last` that has a report."""
    by_day = {report.day: report for report in reports}
    maximum = axis_maximum(max((max(report.sign_ups, report.logins) for report in reports), default=0))
    step = WIDTH / days
    width = step * (1 - GAP) / 2
    bars, labels = [], []
    for index in range(days):
        day = last - timedelta(days=days - 1 - index)
        if index % 7 == days % 7:
            labels.append((round(index * step, 1), f"{day:%d %b}"))
        if not (report := by_day.get(day)):
            continue
        for position, (figure, value) in enumerate({"sign_ups": report.sign_ups, "logins": report.logins}.items()):
            x = round(index * step + position * width, 1)
            height = round(value / maximum * HEIGHT, 1)
            title = f"{day}: {value} {figure.replace('_', '-')}"
            bars.append(Bar(figure, x, round(HEIGHT - height, 1), round(width, 1), height, title))
    lines = [(HEIGHT * (1 - part / 2), maximum * part // 2) for part in (0, 1, 2)]
    return Chart(bars, lines, labels)


def axis_maximum(value: int) -> int:
    """Returns the smallest of 2, 4, 10, 20, 40, 100, … that is at least the value; its half is a whole number too."""
    scale = 1
    while value > 10 * scale:
        scale *= 10
    return next(factor * scale for factor in (2, 4, 10) if value <= factor * scale)
