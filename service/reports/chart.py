"""The bars of the page's chart, computed here so that the template only draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from service.reports.models import DailyReport

WIDTH, HEIGHT = 720, 200  # units of the SVG's view box
GAP = 0.28  # of a day's width, between its bars and the next day's


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
    lines: list[tuple[float, int]]
    labels: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT


def draw(reports: Sequence[DailyReport], last: date, days: int) -> Chart:
    """Sign-ups and logins of the `days` up to `last`, a pair of bars a day; a day without a report stays empty."""
    by_day = {report.day: report for report in reports}
    top = ceiling(max((max(report.sign_ups, report.logins) for report in reports), default=0))
    step = WIDTH / days
    width = step * (1 - GAP) / 2
    bars, labels = [], []
    for number in range(days):
        day = last - timedelta(days=days - 1 - number)
        if number % 7 == days % 7:
            labels.append((round(number * step, 1), f"{day:%d %b}"))
        if (report := by_day.get(day)) is None:
            continue
        for place, figure in enumerate(("sign_ups", "logins")):
            value = getattr(report, figure)
            height = round(value / top * HEIGHT, 1)
            title = f"{day}: {value} {figure.replace('_', '-')}"
            x = round(number * step + place * width, 1)
            bars.append(Bar(figure, x, round(HEIGHT - height, 1), round(width, 1), height, title))
    lines = [(HEIGHT * (1 - part / 2), top * part // 2) for part in (0, 1, 2)]
    return Chart(bars, lines, labels)


def ceiling(value: int) -> int:
    """The next even number of the row 2, 4, 10, 20, 40, 100, …, so that half of it is a whole number too."""
    power = 1
    while True:
        for factor in (2, 4, 10):
            if value <= factor * power:
                return factor * power
        power *= 10
