"""The users of the browser tests, and how they log in and sign up."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, expect

# Playwright's timeout for everything else; the default for expect is 5 s.
expect.set_options(timeout=30_000)

PASSWORD = "correct horse battery"
# All of PEOPLE signed up on this day, and STAFF logged in LOGINS times, for the report to count.
DAY = datetime.now(UTC).date() - timedelta(days=2)  # over and still displayed, even if midnight passes
STAFF, READER, PICTURED, FORGETFUL = "grace", "ada", "mary", "hedy"
PEOPLE = [STAFF, READER, PICTURED, FORGETFUL, *(f"person{number}" for number in range(12))]
LOGINS = 7

MAKE_PEOPLE = f"""
from datetime import datetime
from django.contrib.auth.hashers import make_password
from django.contrib.auth.tokens import default_token_generator
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from service.accounts.models import Login, Profile, User
password, then = make_password({PASSWORD!r}), datetime.fromisoformat("{DAY}T12:00Z")
users = User.objects.bulk_create(
    User(username=name, email=name + "@example.com", password=password, date_joined=then,
         is_staff=name == {STAFF!r}, is_superuser=name == {STAFF!r})
    for name in {PEOPLE!r}
)
Profile.objects.bulk_create(Profile(user=user) for user in users)
Login.objects.bulk_create(Login(user=users[0]) for _ in range({LOGINS}))
Login.objects.filter(user=users[0]).update(at=then)
forgetful = User.objects.get(username={FORGETFUL!r})
print(urlsafe_base64_encode(force_bytes(forgetful.pk)), default_token_generator.make_token(forgetful), sep="/")
"""


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/accounts/profile/")


def fill_sign_up(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Email address").fill(f"{name}@example.com")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("Password confirmation").fill(password)
