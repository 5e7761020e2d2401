"""A user's way through a release with the default values, in a browser."""

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
    """Use the installed Chromium, if there is one. Its sandbox does not work as root."""
    arguments = [f"--host-resolver-rules=MAP *.example.test {INGRESS}"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    chromium = shutil.which("chromium")
    return browser_type_launch_args | {"args": arguments} | ({"executable_path": chromium} if chromium else {})


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return browser_context_args | {"ignore_https_errors": True}


def test_user_signs_up_uploads_a_picture_and_reads_the_report(release: Release, page: Page) -> None:
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

    make_staff = (
        "from service.accounts.models import User; User.objects.filter(username='newcomer').update(is_staff=True)"
    )
    release.python(make_staff)
    report = ("exec", release.pod("web"), "--container", "web", "--", "python", "manage.py", "generate_daily_report")
    release.kubectl(*report)
    page.goto("/reports/")
    expect(page.get_by_role("table", name="Daily figures").get_by_role("rowheader").first).to_be_visible()

    release.wait_for_mail("newcomer@example.com")
