"""Sign-up, login, passwords and the profile, by mouse, by keyboard and without JavaScript."""

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.browser.conftest import Troubles
from tests.support.devserver import Service
from tests.support.people import PASSWORD, fill_sign_up, log_in
from tests.support.pictures import drawing_named_png, large_photo, photo

SAVED = "Your profile is saved."


def test_a_person_signs_up_is_welcomed_shows_a_picture_and_leaves(page: Page, service: Service) -> None:
    page.goto("/")
    page.get_by_role("link", name="Create an account").click()
    fill_sign_up(page, "newcomer")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("status")).to_have_text("Your account is ready. Log in to go on.")
    assert service.mail("newcomer", "Welcome to Mainstay").startswith("Hello newcomer,\n\nyour account is ready.")
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
    assert natural_width(page.get_by_alt_text("Your picture")) == 512

    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{service.url}/accounts/login/")
    page.goto("/accounts/profile/")
    expect(page).to_have_url(f"{service.url}/accounts/login/?next=/accounts/profile/")


@pytest.mark.browser_context_args(java_script_enabled=False)
def test_everything_works_without_javascript(page: Page, service: Service) -> None:
    page.goto("/accounts/sign-up/")
    expect(page.get_by_role("group", name="Colours")).to_be_hidden()
    fill_sign_up(page, "plain", "123")
    page.get_by_role("button", name="Create account").click()
    assert described(page.get_by_label("Password confirmation"))[1].startswith("This password is too short.")
    fill_sign_up(page, "plain")
    page.get_by_role("button", name="Create account").click()
    service.mail("plain", "Welcome to Mainstay")
    log_in(page, "plain")

    page.get_by_label("Picture", exact=True).set_input_files(drawing_named_png())
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#id_picture_error")).to_have_text(
        "This is not a picture we can read. Choose a JPEG, PNG or WebP file."
    )
    page.get_by_label("Picture", exact=True).set_input_files(photo())
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text(SAVED)
    avatar = page.get_by_alt_text("Your picture").get_attribute("src")
    assert avatar
    assert page.request.get(avatar).headers["content-type"] == "image/webp"

    remove_picture(page)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_errors_stand_at_their_fields_and_the_focus_at_the_first_without_a_page_load(page: Page) -> None:
    page.goto("/accounts/sign-up/")
    fill_sign_up(page, "wrong", "123")
    page.get_by_label("Username").fill("not a name")
    page.evaluate("window.stillHere = true")
    page.get_by_role("button", name="Create account").click()
    username, password = page.get_by_label("Username"), page.get_by_label("Password confirmation")
    expect(username).to_be_focused()
    assert page.evaluate("window.stillHere") is True
    assert described(username) == [
        "Letters, digits and @ . + - _ only.",
        "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.",
    ]
    assert described(password)[1].startswith("This password is too short.")
    for field in (username, password):
        expect(field).to_have_attribute("aria-invalid", "true")
        assert_error_stands_under(field)
    expect(page.get_by_label("Email address")).to_have_value("wrong@example.com")
    assert page.get_by_label("Email address").get_attribute("aria-invalid") is None


def test_a_wrong_login_is_told_and_focused(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    told = page.get_by_role("alert").filter(has_text="Please enter a correct username and password.")
    expect(told).to_be_focused()
    expect(page.get_by_label("Username")).to_have_value("nobody")


def test_a_picture_over_2_mb_is_refused_before_it_is_sent(page: Page, person: str) -> None:
    log_in(page, person)
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    picture = page.get_by_label("Picture", exact=True)
    picture.set_input_files(large_photo())
    refusal = "The picture is larger than 2 MB. Choose a smaller one."
    expect(page.get_by_role("alert").filter(has_text=refusal)).to_be_visible()
    expect(picture).to_have_attribute("aria-invalid", "true")
    assert described(picture) == ["JPEG, PNG or WebP, at most 2 MB.", refusal]
    page.get_by_role("button", name="Save").click()
    expect(picture).to_be_focused()

    picture.set_input_files(photo())
    assert picture.get_attribute("aria-invalid") is None
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text(SAVED)
    assert len(sent) == 1


def test_a_drawing_named_png_is_refused_at_its_field_and_the_picture_stays(page: Page, person: str) -> None:
    log_in(page, person)
    page.get_by_label("Picture", exact=True).set_input_files(photo())
    page.get_by_role("button", name="Save").click()
    before = page.get_by_alt_text("Your picture").get_attribute("src")

    page.get_by_label("Picture", exact=True).set_input_files(drawing_named_png())
    page.get_by_role("button", name="Save").click()
    picture = page.get_by_label("Picture", exact=True)
    expect(picture).to_be_focused()
    assert described(picture)[1] == "This is not a picture we can read. Choose a JPEG, PNG or WebP file."
    assert_error_stands_under(picture)
    expect(page.get_by_alt_text("Your picture")).to_have_attribute("src", before or "none")

    picture.set_input_files(photo())
    expect(page.locator("#id_picture_error")).to_have_count(0)
    expect(picture).not_to_have_attribute("aria-invalid", "true")


def test_a_picture_is_removed_and_only_where_there_is_one(page: Page, person: str) -> None:
    log_in(page, person)
    expect(page.get_by_label("Remove picture")).to_have_count(0)
    page.get_by_label("Picture", exact=True).set_input_files(photo())
    page.get_by_role("button", name="Save").click()
    remove_picture(page)
    expect(page.get_by_label("Remove picture")).to_have_count(0)


def test_a_forgotten_password_is_reset_by_the_link_in_the_mail_once(page: Page, service: Service, person: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_role("link", name="Forgot your password?").click()
    page.get_by_label("Email").fill(f"{person}@example.com")
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Look into your mail")
    mail = service.mail(person, "A new password for Mainstay")
    link = next(line for line in mail.splitlines() if line.startswith(f"{service.url}/accounts/password/reset/"))

    page.goto(link)
    page.get_by_label("New password", exact=True).fill("another battery staple")
    page.get_by_label("New password confirmation").fill("another battery staple")
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_role("status")).to_have_text("Your new password is set. Log in with it.")
    log_in(page, person, "another battery staple")
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("This link is used up")


def test_a_password_is_changed_with_the_old_one(page: Page, person: str) -> None:
    log_in(page, person)
    page.get_by_role("link", name="Change your password").click()
    for old in ("wrong", PASSWORD):
        page.get_by_label("Old password").fill(old)
        page.get_by_label("New password", exact=True).fill("another battery staple")
        page.get_by_label("New password confirmation").fill("another battery staple")
        page.get_by_role("button", name="Change password").click()
        if old == "wrong":
            expect(page.get_by_label("Old password")).to_be_focused()
            assert described(page.get_by_label("Old password")) == [
                "Your old password was entered incorrectly. Please enter it again."
            ]
    expect(page.get_by_role("status")).to_have_text("Your password is changed.")
    page.get_by_role("button", name="Log out").click()
    log_in(page, person, "another battery staple")


def test_the_keyboard_alone_signs_up(page: Page, service: Service) -> None:
    page.goto("/accounts/sign-up/")
    expect(page.get_by_label("Username")).to_be_focused()
    for text in ("typist", "typist@example.com", PASSWORD, PASSWORD):
        assert outline(page) >= 2
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Create account")).to_be_focused()
    assert outline(page) >= 2
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Your account is ready. Log in to go on.")
    service.mail("typist", "Welcome to Mainstay")


def test_the_first_tab_skips_to_the_content_and_every_stop_is_seen(page: Page) -> None:
    page.goto("/")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).not_to_be_in_viewport()
    page.keyboard.press("Tab")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport(ratio=1)
    stops = []
    for _ in range(6):
        page.keyboard.press("Tab")
        assert outline(page) >= 2
        stops.append(page.evaluate("document.activeElement.innerText || document.activeElement.value"))
    assert stops == ["Mainstay", "Log in", "Sign up", "Create an account", "Log in", "system"]

    skip.focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Create an account")).to_be_focused()


def test_a_form_stays_and_says_so_when_nobody_answers(page: Page, troubles: Troubles) -> None:
    page.goto("/accounts/sign-up/")
    unsent = page.get_by_role("alert").filter(
        has_text="The service gives no answer. What you have written is still here"
    )
    fill_sign_up(page, "patient")
    lost: list[Request] = []
    page.on("requestfailed", lambda request: lost.append(request))  # noqa: PLW0108 # Playwright marks what it is given
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
    expect(page.get_by_role("status")).to_have_text("Your account is ready. Log in to go on.")
    # The browser and htmx have each told of the lost request on the console.
    assert [trouble.split(" ", 1)[0] for trouble in troubles.found] == ["Failed", "htmx:"]
    troubles.found.clear()


def test_a_double_click_sends_a_form_once(page: Page) -> None:
    page.goto("/accounts/sign-up/")
    fill_sign_up(page, "hasty")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.get_by_role("button", name="Create account").dblclick()
    expect(page.get_by_role("status")).to_have_text("Your account is ready. Log in to go on.")
    assert len(sent) == 1


def test_a_form_whose_cookies_are_gone_has_expired(page: Page) -> None:
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
    # In one look: the page before is saved too, and on the way to the next there is no picture either.
    without = page.get_by_role("main").filter(has_not=page.get_by_alt_text("Your picture"))
    expect(without.get_by_role("status")).to_have_text(SAVED)


def natural_width(picture: Locator) -> int:
    """How wide the picture is that the browser has decoded."""
    width: int = picture.evaluate("async picture => { await picture.decode(); return picture.naturalWidth }")
    return width


def described(control: Locator) -> list[str]:
    """What a screen reader adds to the label of the field."""
    texts: list[str] = control.evaluate(
        "field => field.getAttribute('aria-describedby').split(' ').map(id => document.getElementById(id).innerText)"
    )
    return texts


def assert_error_stands_under(control: Locator) -> None:
    error = control.page.locator(f"#{control.get_attribute('id')}_error")
    expect(error).to_be_visible()
    field, message = control.bounding_box(), error.bounding_box()
    assert field
    assert message
    assert message["x"] == field["x"]
    assert 0 <= message["y"] - (field["y"] + field["height"]) < 120


def outline(page: Page) -> float:
    """How thick the focus is drawn, in pixels; a radio button draws it at the text beside it."""
    thickness: float = page.evaluate(
        """() => {
            const focused = document.activeElement;
            const style = getComputedStyle(focused.type === "radio" ? focused.nextElementSibling : focused);
            return style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
        }"""
    )
    return thickness
