"""Requirements on every page: accessibility, small screens, themes, content security policy."""

import re
from collections.abc import Callable
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Problems
from tests.support import ROOT
from tests.support.devserver import Service
from tests.support.people import PICTURED, fill_sign_up
from tests.support.pictures import photo, svg_named_png

AXE = ROOT / "node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

Open = Callable[[pytest.FixtureRequest, Page], None]


def plain(path: str, heading: str, *fixtures: str) -> Open:
    def go(request: pytest.FixtureRequest, page: Page) -> None:
        for fixture in fixtures:
            request.getfixturevalue(fixture)
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)

    return go


def sign_up_with_errors(request: pytest.FixtureRequest, page: Page) -> None:
    page.goto("/accounts/sign-up/")
    fill_sign_up(page, "wrong", "123")
    page.get_by_role("button", name="Create account").click()
    expect(page.locator("#id_password2_error")).to_be_visible()


def login_with_errors(request: pytest.FixtureRequest, page: Page) -> None:
    page.goto("/accounts/login/?next=/reports/")
    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()


def profile_with_errors(request: pytest.FixtureRequest, page: Page) -> None:
    request.getfixturevalue("as_reader")
    page.goto("/accounts/profile/")
    page.get_by_label("Picture", exact=True).set_input_files(svg_named_png())
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#id_picture_error")).to_be_visible()


def profile_with_picture(request: pytest.FixtureRequest, page: Page) -> None:
    page.context.add_cookies(request.getfixturevalue("sessions")(PICTURED))
    page.goto("/accounts/profile/")
    page.get_by_label("Picture", exact=True).set_input_files(photo())
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Your profile has been saved.")
    expect(page.get_by_alt_text("Profile picture")).to_be_visible()


def reset_confirm(request: pytest.FixtureRequest, page: Page) -> None:
    page.goto(request.getfixturevalue("reset_link"))
    expect(page.get_by_label("New password", exact=True)).to_be_visible()


def full_report(request: pytest.FixtureRequest, page: Page) -> None:
    request.getfixturevalue("as_staff")
    request.getfixturevalue("reports")
    page.goto("/reports/")
    expect(page.get_by_role("table")).to_be_visible()


PAGES: dict[str, Open] = {
    "home": plain("/", "Django on Kubernetes, ready for production."),
    "sign_up": plain("/accounts/sign-up/", "Create an account"),
    "sign_up_with_errors": sign_up_with_errors,
    "login": plain("/accounts/login/", "Log in"),
    "login_with_errors": login_with_errors,
    "profile": plain("/accounts/profile/", "ada", "as_reader"),
    "profile_with_errors": profile_with_errors,
    "profile_with_picture": profile_with_picture,
    "profile_of_staff": plain("/accounts/profile/", "grace", "as_staff"),
    "password_change": plain("/accounts/password/", "Change your password", "as_reader"),
    "reset": plain("/accounts/password/reset/", "Reset your password"),
    "reset_sent": plain("/accounts/password/reset/sent/", "Check your inbox"),
    "reset_confirm": reset_confirm,
    "reset_invalid": plain("/accounts/password/reset/MQ/invalid/", "This link is invalid"),
    "report": full_report,
    "report_empty": plain("/reports/", "Daily report", "as_staff", "no_reports"),
    "forbidden": plain("/reports/", "Access denied", "as_reader"),
    "missing": plain("/nowhere/", "Page not found"),
}
every_page = pytest.mark.parametrize("name", PAGES)


@every_page
def test_page_has_no_accessibility_violations_in_light_and_dark(
    name: str, page: Page, request: pytest.FixtureRequest
) -> None:
    PAGES[name](request, page)
    # By page.evaluate, because the content security policy forbids the page to load axe.
    page.evaluate(AXE.read_text())
    grounds = []
    # Only the colours differ between the themes.
    themes: dict[Literal["light", "dark"], list[str]] = {"light": RULES, "dark": ["color-contrast"]}
    for theme, rules in themes.items():
        page.emulate_media(color_scheme=theme)
        result = page.evaluate("rules => axe.run({runOnly: rules, resultTypes: ['violations']})", rules)
        assert findings(result) == []
        assert len(result["passes"]) > (20 if theme == "light" else 0), "axe checked too little"
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(246, 247, 245)", "rgb(16, 21, 15)"]


def test_axe_detects_low_contrast(page: Page) -> None:
    page.goto("/")
    page.evaluate("document.querySelector('h1').style.color = '#eee'")
    page.evaluate(AXE.read_text())
    result = page.evaluate("rules => axe.run({runOnly: rules, resultTypes: ['violations']})", RULES)
    assert [finding.split(" ", 1)[0] for finding in findings(result)] == ["color-contrast"]


@every_page
def test_page_does_not_scroll_horizontally_at_320_px(name: str, page: Page, request: pytest.FixtureRequest) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    PAGES[name](request, page)
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_content_security_policy_violation_is_detected(page: Page, problems: Problems) -> None:
    page.goto("/")
    with page.expect_console_message(lambda message: message.text == "style-src-attr: inline"):
        page.evaluate("document.body.setAttribute('style', 'color: red')")
    assert len(problems.found) == 2  # the browser's message and the event
    problems.found.clear()


def test_selected_theme_is_rendered_by_the_server(page: Page) -> None:
    page.goto("/")
    dark, light = "rgb(16, 21, 15)", "rgb(246, 247, 245)"
    expect(page.locator("body")).to_have_css("background-color", light)
    page.get_by_label("Dark").check()
    expect(page.locator("body")).to_have_css("background-color", dark)

    answer = page.reload()
    assert answer
    assert re.match(r'<!doctype html>\n<html lang="en" data-theme="dark">', answer.text())
    expect(page.get_by_label("Dark")).to_be_checked()
    expect(page.locator("body")).to_have_css("background-color", dark)

    page.get_by_label("System").check()
    expect(page.locator("body")).to_have_css("background-color", light)
    answer = page.reload()
    assert answer
    assert re.match(r'<!doctype html>\n<html lang="en">', answer.text())
    expect(page.get_by_label("System")).to_be_checked()


def test_theme_can_be_selected_by_keyboard(page: Page) -> None:
    page.goto("/")
    page.get_by_label("System").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("Dark")).to_be_checked()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_404_page_shows_no_internals(page: Page, service: Service) -> None:
    answer = page.goto("/nowhere/")
    assert answer
    assert answer.status == 404
    text = answer.text()
    for internal in ("Traceback", "URLconf", "DEBUG", "service.urls", str(ROOT), str(service.data)):
        assert internal not in text
    page.get_by_role("link", name="Go to the home page").click()
    expect(page).to_have_url(f"{service.url}/")


def findings(result: Any) -> list[str]:
    return [f"{rule['id']} {rule['help']}: {node['html']}" for rule in result["violations"] for node in rule["nodes"]]
