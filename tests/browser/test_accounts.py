"""Sign-up, login, passwords and the profile, by mouse, by keyboard and without JavaScript."""

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.browser.conftest import Problems
from tests.support.devserver import Service
from tests.support.people import PASSWORD, fill_sign_up, log_in
from tests.support.pictures import large_photo, photo, svg_named_png

SAVED = "Your profile has been saved."
SIGNED_UP = "Your account has been created. You can log in now."
INVALID_PICTURE = "The file is not a valid picture. Choose a JPEG, PNG or WebP file."


def test_user_signs_up_gets_mail_uploads_a_picture_and_logs_out(page: Page, service: Service) -> None:
    page.goto("/")
    page.get_by_role("link", name="Create an account").click()
    fill_sign_up(page, "newcomer")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("status")).to_have_text(SIGNED_UP)
    assert service.mail("newcomer", "Welcome to Mainstay").startswith(
        "Hello newcomer,\n\nyour account has been created."
    )
    assert service.printed().count("To: newcomer@example.com") == 1

    page.get_by_label("Username").fill("newcomer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("newcomer")

    page.get_by_label("Display name").fill("New Comer")
    page.get_by_label("Picture", exact=True).set_input_files(photo())
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text(SAVED)
    expect(page.get_by_role("heading", level=1)).to_have_text("New Comer")
    assert natural_width(page.get_by_alt_text("Profile picture")) == 512

    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{service.url}/accounts/login/")
    page.goto("/accounts/profile/")
    expect(page).to_have_url(f"{service.url}/accounts/login/?next=/accounts/profile/")


@pytest.mark.browser_context_args(java_script_enabled=False)
def test_accounts_work_without_javascript(page: Page, service: Service) -> None:
    page.goto("/accounts/sign-up/")
    expect(page.get_by_role("group", name="Theme")).to_be_hidden()
    fill_sign_up(page, "plain", "123")
    page.get_by_role("button", name="Create account").click()
    assert descriptions(page.get_by_label("Password confirmation"))[1].startswith("This password is too short.")
    fill_sign_up(page, "plain")
    page.get_by_role("button", name="Create account").click()
    service.mail("plain", "Welcome to Mainstay")
    log_in(page, "plain")

    page.get_by_label("Picture", exact=True).set_input_files(svg_named_png())
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#id_picture_error")).to_have_text(INVALID_PICTURE)
    page.get_by_label("Picture", exact=True).set_input_files(photo())
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text(SAVED)
    avatar = page.get_by_alt_text("Profile picture").get_attribute("src")
    assert avatar
    assert page.request.get(avatar).headers["content-type"] == "image/webp"

    remove_picture(page)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_field_errors_are_shown_without_a_page_load_and_the_first_is_focused(page: Page) -> None:
    page.goto("/accounts/sign-up/")
    fill_sign_up(page, "wrong", "123")
    page.get_by_label("Username").fill("not a name")
    page.evaluate("window.notReloaded = true")
    page.get_by_role("button", name="Create account").click()
    username, password = page.get_by_label("Username"), page.get_by_label("Password confirmation")
    expect(username).to_be_focused()
    assert page.evaluate("window.notReloaded") is True
    assert descriptions(username) == [
        "Letters, digits and @ . + - _ only.",
        "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.",
    ]
    assert descriptions(password)[1].startswith("This password is too short.")
    for field in (username, password):
        expect(field).to_have_attribute("aria-invalid", "true")
        assert_error_is_below(field)
    expect(page.get_by_label("Email address")).to_have_value("wrong@example.com")
    assert page.get_by_label("Email address").get_attribute("aria-invalid") is None


def test_login_error_is_shown_and_focused(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    error = page.get_by_role("alert").filter(has_text="Please enter a correct username and password.")
    expect(error).to_be_focused()
    expect(page.get_by_label("Username")).to_have_value("nobody")


def test_picture_over_2_mb_is_rejected_before_the_upload(page: Page, person: str) -> None:
    log_in(page, person)
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    picture = page.get_by_label("Picture", exact=True)
    picture.set_input_files(large_photo())
    message = "The file is too large. The limit is 2 MB."
    expect(page.get_by_role("alert").filter(has_text=message)).to_be_visible()
    expect(picture).to_have_attribute("aria-invalid", "true")
    assert descriptions(picture) == ["JPEG, PNG or WebP, at most 2 MB.", message]
    page.get_by_role("button", name="Save").click()
    expect(picture).to_be_focused()

    picture.set_input_files(photo())
    assert picture.get_attribute("aria-invalid") is None
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text(SAVED)
    assert len(sent) == 1


def test_svg_named_png_is_a_field_error_and_the_picture_is_kept(page: Page, person: str) -> None:
    log_in(page, person)
    page.get_by_label("Picture", exact=True).set_input_files(photo())
    page.get_by_role("button", name="Save").click()
    before = page.get_by_alt_text("Profile picture").get_attribute("src")

    page.get_by_label("Picture", exact=True).set_input_files(svg_named_png())
    page.get_by_role("button", name="Save").click()
    picture = page.get_by_label("Picture", exact=True)
    expect(picture).to_be_focused()
    assert descriptions(picture)[1] == INVALID_PICTURE
    assert_error_is_below(picture)
    expect(page.get_by_alt_text("Profile picture")).to_have_attribute("src", before or "none")

    picture.set_input_files(photo())
    expect(page.locator("#id_picture_error")).to_have_count(0)
    expect(picture).not_to_have_attribute("aria-invalid", "true")


def test_remove_picture_is_offered_only_if_there_is_a_picture(page: Page, person: str) -> None:
    log_in(page, person)
    expect(page.get_by_label("Remove picture")).to_have_count(0)
    page.get_by_label("Picture", exact=True).set_input_files(photo())
    page.get_by_role("button", name="Save").click()
    remove_picture(page)
    expect(page.get_by_label("Remove picture")).to_have_count(0)


def test_password_reset_link_in_the_mail_works_once(page: Page, service: Service, person: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_role("link", name="Forgot your password?").click()
    page.get_by_label("Email").fill(f"{person}@example.com")
    page.get_by_role("button", name="Send link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox")
    mail = service.mail(person, "Reset your Mainstay password")
    link = next(line for line in mail.splitlines() if line.startswith(f"{service.url}/accounts/password/reset/"))

    page.goto(link)
    page.get_by_label("New password", exact=True).fill("another battery staple")
    page.get_by_label("New password confirmation").fill("another battery staple")
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_role("status")).to_have_text("Your password has been set. You can log in now.")
    log_in(page, person, "another battery staple")
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("This link is invalid")


def test_password_change_requires_the_old_password(page: Page, person: str) -> None:
    log_in(page, person)
    page.get_by_role("link", name="Change your password").click()
    for old in ("wrong", PASSWORD):
        page.get_by_label("Old password").fill(old)
        page.get_by_label("New password", exact=True).fill("another battery staple")
        page.get_by_label("New password confirmation").fill("another battery staple")
        page.get_by_role("button", name="Change password").click()
        if old == "wrong":
            expect(page.get_by_label("Old password")).to_be_focused()
            assert descriptions(page.get_by_label("Old password")) == [
                "Your old password was entered incorrectly. Please enter it again."
            ]
    expect(page.get_by_role("status")).to_have_text("Your password has been changed.")
    page.get_by_role("button", name="Log out").click()
    log_in(page, person, "another battery staple")


def test_sign_up_works_by_keyboard(page: Page, service: Service) -> None:
    page.goto("/accounts/sign-up/")
    expect(page.get_by_label("Username")).to_be_focused()
    for text in ("typist", "typist@example.com", PASSWORD, PASSWORD):
        assert outline_width(page) >= 2
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Create account")).to_be_focused()
    assert outline_width(page) >= 2
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(SIGNED_UP)
    service.mail("typist", "Welcome to Mainstay")


def test_first_tab_stop_is_the_skip_link_and_focus_is_always_visible(page: Page) -> None:
    page.goto("/")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).not_to_be_in_viewport()
    page.keyboard.press("Tab")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport(ratio=1)
    stops = []
    for _ in range(6):
        page.keyboard.press("Tab")
        assert outline_width(page) >= 2
        stops.append(page.evaluate("document.activeElement.innerText || document.activeElement.value"))
    assert stops == ["Mainstay", "Log in", "Sign up", "Create an account", "Log in", "system"]

    skip.focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Create an account")).to_be_focused()


def test_form_keeps_its_input_and_shows_an_error_if_the_server_does_not_respond(page: Page, problems: Problems) -> None:
    page.goto("/accounts/sign-up/")
    unsent = page.get_by_role("alert").filter(has_text="The server does not respond. Your input is still here.")
    fill_sign_up(page, "patient")
    lost: list[Request] = []
    page.on("requestfailed", lambda request: lost.append(request))  # noqa: PLW0108 # Playwright sets attributes on the handler
    page.route("**/sign-up/", lambda route: route.abort())
    page.get_by_role("button", name="Create account").click()
    expect(unsent).to_be_focused()
    assert len(lost) == 1

    page.unroute("**/sign-up/")
    page.route("**/sign-up/", lambda route: route.fulfill(status=502, body="<h1>502 Bad Gateway</h1>"))
    with page.expect_response(lambda response: response.status == 502):
        page.get_by_role("button", name="Create account").click()
    expect(unsent).to_be_focused()
    expect(page.get_by_label("Username")).to_have_value("patient")

    page.unroute("**/sign-up/")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("status")).to_have_text(SIGNED_UP)
    # The browser and htmx each log the failed request.
    assert [problem.split(" ", 1)[0] for problem in problems.found] == ["Failed", "htmx:"]
    problems.found.clear()


def test_double_click_submits_a_form_once(page: Page) -> None:
    page.goto("/accounts/sign-up/")
    fill_sign_up(page, "hasty")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.get_by_role("button", name="Create account").dblclick()
    expect(page.get_by_role("status")).to_have_text(SIGNED_UP)
    assert len(sent) == 1


def test_form_without_csrf_cookie_shows_the_expired_page(page: Page) -> None:
    page.goto("/accounts/sign-up/")
    fill_sign_up(page, "forgotten")
    page.context.clear_cookies()
    page.get_by_role("button", name="Create account").click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("The form has expired")
    expect(heading).to_be_focused()


def remove_picture(page: Page) -> None:
    page.get_by_label("Remove picture").check()
    page.get_by_role("button", name="Save").click()
    # One assertion: the previous page shows SAVED too, and a page being loaded has no picture either.
    without = page.get_by_role("main").filter(has_not=page.get_by_alt_text("Profile picture"))
    expect(without.get_by_role("status")).to_have_text(SAVED)


def natural_width(picture: Locator) -> int:
    """Returns the width of the decoded picture."""
    width: int = picture.evaluate("async picture => { await picture.decode(); return picture.naturalWidth }")
    return width


def descriptions(control: Locator) -> list[str]:
    """Returns the texts that describe the field to a screen reader."""
    texts: list[str] = control.evaluate(
        "field => field.getAttribute('aria-describedby').split(' ').map(id => document.getElementById(id).innerText)"
    )
    return texts


def assert_error_is_below(control: Locator) -> None:
    error = control.page.locator(f"#{control.get_attribute('id')}_error")
    expect(error).to_be_visible()
    field, message = control.bounding_box(), error.bounding_box()
    assert field
    assert message
    assert message["x"] == field["x"]
    assert 0 <= message["y"] - (field["y"] + field["height"]) < 120


def outline_width(page: Page) -> float:
    """Returns the width of the focus outline in pixels; a radio button's is on its label."""
    thickness: float = page.evaluate(
        """() => {
            const focused = document.activeElement;
            const style = getComputedStyle(focused.type === "radio" ? focused.nextElementSibling : focused);
            return style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
        }"""
    )
    return thickness
