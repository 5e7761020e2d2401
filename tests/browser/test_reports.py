"""The daily report, for staff only."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.devserver import Service
from tests.support.people import DAY, LOGINS, PEOPLE

pytestmark = pytest.mark.usefixtures("no_reports")


@pytest.mark.usefixtures("as_staff")
def test_page_without_reports_states_when_the_first_is_generated(page: Page) -> None:
    page.goto("/reports/")
    expect(page.get_by_text("No reports yet.")).to_be_visible()
    expect(page.get_by_text("The first report is generated at 06:00 UTC.")).to_be_visible()
    expect(page.get_by_role("table")).to_have_count(0)
    expect(page.get_by_role("link", name="Download CSV")).to_have_count(0)
    expect(page.get_by_role("navigation").get_by_role("link", name="Reports")).to_have_attribute("aria-current", "page")


@pytest.mark.usefixtures("as_staff")
def test_staff_views_the_report_with_its_chart_and_downloads_the_csv(
    page: Page, service: Service, tmp_path: Path
) -> None:
    page.goto("/reports/")
    expect(page.get_by_text("No reports yet.")).to_be_visible()

    assert service.manage("generate_daily_report", "--day", str(DAY)) == f"{DAY}: stored.\n"
    page.reload()
    figures = [len(PEOPLE), LOGINS, 0, 0, 0]
    assert page.get_by_role("table", name="Daily figures").locator("tbody tr").all_inner_texts() == [
        "\t".join(map(str, [DAY, *figures]))
    ]
    chart = page.get_by_role("img", name=re.compile("Sign-ups and logins in the last 30 days"))
    expect(chart).to_be_visible()
    assert chart.locator("rect").evaluate_all("bars => bars.map(bar => bar.textContent)") == [
        f"{DAY}: {len(PEOPLE)} sign-ups",
        f"{DAY}: {LOGINS} logins",
    ]
    heights = chart.locator("rect").evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().height)")
    assert heights[0] / heights[1] == pytest.approx(len(PEOPLE) / LOGINS, rel=0.02)

    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert download.value.suggested_filename == "daily-reports.csv"
    download.value.save_as(tmp_path / "daily-reports.csv")
    assert (tmp_path / "daily-reports.csv").read_text().splitlines() == [
        "day,sign_ups,logins,mails_sent,mails_failed,sessions_removed",
        ",".join(map(str, [DAY, *figures])),
    ]


@pytest.mark.usefixtures("as_reader")
def test_user_who_is_not_staff_gets_403(page: Page) -> None:
    answer = page.goto("/reports/")
    assert answer
    assert answer.status == 403
    expect(page.get_by_role("heading", level=1)).to_have_text("Access denied")


def test_anonymous_user_is_redirected_to_login(page: Page, service: Service) -> None:
    page.goto("/reports/")
    expect(page).to_have_url(f"{service.url}/accounts/login/?next=/reports/")
