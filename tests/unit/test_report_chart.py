"""The geometry of the report page's chart."""

from datetime import date, timedelta

import pytest

from service.reports import chart
from service.reports.models import DailyReport


@pytest.mark.parametrize(
    ("value", "maximum"), [(0, 2), (2, 2), (3, 4), (5, 10), (10, 10), (11, 20), (41, 100), (101, 200), (1001, 2000)]
)
def test_axis_maximum_is_a_round_even_number(value: int, maximum: int) -> None:
    assert chart.axis_maximum(value) == maximum


def test_each_report_has_two_bars_and_a_missing_report_has_none() -> None:
    last = date(2026, 11, 20)
    reports = [
        DailyReport(day=last, sign_ups=5, logins=10),
        DailyReport(day=last - timedelta(days=9), sign_ups=0, logins=1),
    ]

    built = chart.build(reports, last, 10)

    step = chart.WIDTH / 10
    assert [(bar.figure, bar.x, bar.height) for bar in built.bars] == [
        ("sign_ups", 0, 0),
        ("logins", round(step * 0.36, 1), 20),
        ("sign_ups", round(step * 9, 1), 100),
        ("logins", round(step * 9.36, 1), 200),
    ]
    assert built.bars[2].title == "2026-11-20: 5 sign-ups"
    assert built.lines == [(200, 0), (100, 5), (0, 10)]


def test_chart_without_reports_has_an_axis_and_no_bars() -> None:
    built = chart.build([], date(2026, 11, 20), 30)

    assert (built.bars, built.lines[-1]) == ([], (0, 2))
    assert built.labels[0][1] == "24 Oct"
