"""The geometry of the report's chart."""

from datetime import date, timedelta

import pytest

from service.reports import chart
from service.reports.models import DailyReport


@pytest.mark.parametrize(
    ("value", "top"), [(0, 2), (2, 2), (3, 4), (5, 10), (10, 10), (11, 20), (41, 100), (101, 200), (1001, 2000)]
)
def test_the_axis_ends_at_a_round_even_number(value: int, top: int) -> None:
    assert chart.ceiling(value) == top


def test_a_day_has_a_pair_of_bars_in_its_place_and_a_missing_day_none() -> None:
    last = date(2026, 11, 20)
    reports = [
        DailyReport(day=last, sign_ups=5, logins=10),
        DailyReport(day=last - timedelta(days=9), sign_ups=0, logins=1),
    ]

    drawn = chart.draw(reports, last, 10)

    step = chart.WIDTH / 10
    assert [(bar.figure, bar.x, bar.height) for bar in drawn.bars] == [
        ("sign_ups", 0, 0),
        ("logins", round(step * 0.36, 1), 20),
        ("sign_ups", round(step * 9, 1), 100),
        ("logins", round(step * 9.36, 1), 200),
    ]
    assert drawn.bars[2].title == "2026-11-20: 5 sign-ups"
    assert drawn.lines == [(200, 0), (100, 5), (0, 10)]


def test_without_reports_there_is_an_axis_and_no_bar() -> None:
    drawn = chart.draw([], date(2026, 11, 20), 30)

    assert (drawn.bars, drawn.lines[-1]) == ([], (0, 2))
    assert drawn.labels[0][1] == "24 Oct"
