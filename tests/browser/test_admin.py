"""Django's admin: its static files are hashed, its pages comply with the content security policy."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.people import PEOPLE, READER, STAFF

pytestmark = pytest.mark.usefixtures("as_staff")


def test_admin_is_linked_and_styled(page: Page) -> None:
    page.goto("/accounts/profile/")
    with page.expect_response(re.compile(r"/static/admin/css/base\.[0-9a-f]{12}\.css$")) as style:
        page.get_by_role("link", name="Admin").click()
    assert style.value.status == 200
    expect(page.get_by_role("link", name="Mainstay administration")).to_be_visible()
    expect(page.locator("#header")).to_have_css("background-color", "rgb(65, 118, 144)")


def test_users_are_listed_searched_and_opened(page: Page) -> None:
    page.goto("/admin/accounts/user/")
    expect(page.locator("#result_list tbody th").filter(has_text=re.compile(f"^({'|'.join(PEOPLE)})$"))).to_have_count(
        len(PEOPLE)
    )
    page.get_by_role("textbox", name="Search").fill(f"{READER}@example.com")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#result_list tbody th")).to_have_text([READER])
    page.get_by_role("link", name=READER, exact=True).click()
    expect(page.get_by_label("Username")).to_have_value(READER)


def test_profiles_are_listed_filtered_and_opened(page: Page) -> None:
    page.goto("/admin/accounts/profile/")
    page.get_by_label("Filter").get_by_role("link", name="Yes").first.click()
    expect(page.locator("#result_list tbody th")).to_have_text([STAFF])
    page.locator("#result_list tbody th a").click()
    expect(page.get_by_role("heading", name="Change profile")).to_be_visible()
