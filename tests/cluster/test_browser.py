"""A person with a browser, on a release of nothing but a host name."""

import os
import shutil
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.cluster import INGRESS, Release
from tests.support.people import fill_sign_up, log_in
from tests.support.pictures import photo


@pytest.fixture(scope="session")
def base_url(fresh: tuple[Release, float]) -> str:
    return fresh[0].url


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The machine's own Chromium, if there is one; root can't have the sandbox."""
    arguments = [f"--host-resolver-rules=MAP *.example.test {INGRESS}"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    own = shutil.which("chromium")
    return browser_type_launch_args | {"args": arguments} | ({"executable_path": own} if own else {})


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return browser_context_args | {"ignore_https_errors": True}


def test_person_signs_up_shows_a_picture_and_reads_the_report(release: Release, page: Page) -> None:
    page.goto("/accounts/sign-up/")
    fill_sign_up(page, "newcomer")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("status")).to_have_text("Your account has been created. You can log in now.")
    log_in(page, "newcomer")

    page.get_by_label("Picture", exact=True).set_input_files(photo())
    page.get_by_role("button", name="Save").click()
    picture = page.get_by_alt_text("Profile picture")
    expect(picture).to_be_visible()
    assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") == 512

    staff = "from service.accounts.models import User; User.objects.filter(username='newcomer').update(is_staff=True)"
    release.python(staff)
    report = ("exec", release.pod("web"), "--container", "web", "--", "python", "manage.py", "generate_daily_report")
    release.kubectl(*report)
    page.goto("/reports/")
    expect(page.get_by_role("table", name="Daily figures").get_by_role("rowheader").first).to_be_visible()

    release.await_mail("newcomer@example.com")
