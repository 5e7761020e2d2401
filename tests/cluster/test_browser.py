"""A person with a browser, on a release of nothing but a host name."""

import os
import shutil
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.cluster.cluster import Release, until


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The machine's own Chromium, if there is one; root can't have the sandbox."""
    arguments = [f"--host-resolver-rules=MAP *.example.test {os.environ.get('INGRESS', '127.0.0.1')}"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    own = shutil.which("chromium")
    return browser_type_launch_args | {"args": arguments} | ({"executable_path": own} if own else {})


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return browser_context_args | {"ignore_https_errors": True}


def test_person_signs_up_uploads_a_picture_and_reads_the_report(release: Release, page: Page, tmp_path: Any) -> None:
    Image.new("RGB", (64, 64), "navy").save(tmp_path / "me.png")
    password = "correct-horse-battery"

    page.goto(f"{release.url}/accounts/sign-up/")
    page.get_by_label("Username").fill("grace")
    page.get_by_label("Email").fill("grace@example.org")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("Password confirmation").fill(password)
    page.get_by_role("main").get_by_role("button").click()
    page.wait_for_url("**/accounts/login/")
    page.get_by_label("Username").fill("grace")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("main").get_by_role("button").click()
    page.wait_for_url("**/accounts/profile/")
    page.get_by_label("Picture", exact=True).set_input_files(tmp_path / "me.png")
    page.get_by_role("main").get_by_role("button").first.click()
    picture = page.locator("main img")
    expect(picture).to_be_visible()
    until(lambda: picture.evaluate("image => image.naturalWidth") > 0, 10, "the picture is drawn")
    release.python(
        "from service.accounts.models import User; User.objects.filter(username='grace').update(is_staff=True)"
    )
    page.goto(f"{release.url}/reports/")
    expect(page.get_by_role("main").locator("svg").first).to_be_visible()
    log = ("logs", release.pod("worker"), "--container", "worker")
    until(lambda: "grace@example.org" in release.kubectl(*log), 30, "the welcome mail is in the worker's log")
