"""Sign-up, login, passwords, profile and the admin of accounts."""

import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core import mail
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from kombu import Connection
from kombu.exceptions import OperationalError
from zeal import zeal_ignore

from devserver.process import Server
from service.accounts import services, tasks
from service.accounts.models import Login, Mail, Profile, User
from tests.support import processes, servers
from tests.support.tasks import Queue

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queue")]

PASSWORD = "correct-horse-7"
SIGN_UP = reverse("accounts:sign_up")
LOGIN = reverse("accounts:login")
PROFILE = reverse("accounts:profile")


def sign_up_data(**changed: str) -> dict[str, str]:
    return {"username": "ada", "email": "ada@example.org", "password1": PASSWORD, "password2": PASSWORD} | changed


def make_user(username: str = "ada", **fields: Any) -> User:
    return User.objects.create_user(username, f"{username}@example.org", PASSWORD, **fields)


def errors(response: Any) -> dict[str, list[str]]:
    """Returns the errors of the rendered form."""
    assert response.status_code == 200
    errors: dict[str, list[str]] = dict(response.context["form"].errors)
    return errors


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Stops Valkey, and starts a new one afterwards."""
    server.stop()
    try:
        yield
    finally:
        server.process = servers.start_valkey().process


# --- sign-up -------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_sign_up_creates_user_profile_and_mail_and_enqueues_the_welcome_task(client: Client, queue: Queue) -> None:
    response = client.post(SIGN_UP, sign_up_data())

    assert (response.status_code, response["Location"]) == (302, LOGIN)
    user = User.objects.get()
    assert (user.username, user.email, user.is_staff, user.check_password(PASSWORD)) == (
        "ada",
        "ada@example.org",
        False,
        True,
    )
    assert list(Profile.objects.values_list("user", "display_name", "picture")) == [(user.pk, "", "")]
    assert list(Mail.objects.values_list("user", "kind", "state")) == [(user.pk, "welcome", "pending")]
    message = queue.waiting()
    assert [(task.name, task.args, task.due) for task in message] == [
        ("service.accounts.tasks.send_welcome_email", [user.pk], None)
    ]
    assert message[0].headers["request_id"] == response["X-Request-ID"]


@pytest.mark.django_db(transaction=True)
def test_welcome_task_is_enqueued_after_the_commit(queue: Queue) -> None:
    with transaction.atomic():
        services.sign_up(User(username="ada", email="ada@example.org"))
        assert queue.waiting() == []

    assert [task.name for task in queue.waiting()] == ["service.accounts.tasks.send_welcome_email"]


@pytest.mark.django_db(transaction=True)
def test_rolled_back_sign_up_stores_and_enqueues_nothing(queue: Queue) -> None:
    with transaction.atomic():
        services.sign_up(User(username="ada", email="ada@example.org"))
        assert User.objects.count() == 1
        transaction.set_rollback(True)

    assert (User.objects.count(), Profile.objects.count(), Mail.objects.count(), queue.waiting()) == (0, 0, 0, [])


@pytest.mark.django_db(transaction=True)
def test_sign_up_without_broker_succeeds_and_mail_is_sent_later(
    client: Client, queue: Queue, valkey_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with stopped(valkey_server):
        response = client.post(SIGN_UP, sign_up_data())

    assert (response.status_code, response["Location"]) == (302, LOGIN)
    user = User.objects.get()
    assert Mail.objects.get(user=user).state == Mail.State.PENDING
    assert "Error calling sign_up.<locals>.<lambda> in on_commit()" in caplog.text  # the broker was down
    assert queue.waiting() == []

    Mail.objects.update(changed_at=timezone.now() - tasks.STALE_AFTER - timedelta(seconds=1))
    tasks.send_pending_mail.run()

    (message,) = queue.waiting()
    assert (message.name, message.args) == ("service.accounts.tasks.send_welcome_email", [user.pk])
    assert message.run() == "SUCCESS"
    assert [(sent.subject, sent.to) for sent in mail.outbox] == [("Welcome to Mainstay", ["ada@example.org"])]


def test_publishing_fails_in_seconds_while_broker_is_frozen_and_works_after_a_restart(
    queue: Queue, valkey_server: Server
) -> None:
    # given an open connection
    tasks.send_pending_mail.delay()

    with processes.frozen(valkey_server.process.pid):
        started = time.monotonic()
        with pytest.raises(OperationalError):
            tasks.send_pending_mail.delay()
        assert time.monotonic() - started < 10  # two attempts, one second apart

    tasks.send_pending_mail.delay()
    with stopped(valkey_server):
        pass
    tasks.send_pending_mail.delay()
    assert [task.name for task in queue.waiting()] == ["service.accounts.tasks.send_pending_mail"]


class DropsFirst(socketserver.BaseRequestHandler):
    """A proxy of the broker that drops the first connection on its first use."""

    dropped: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        if not self.dropped:
            self.dropped.append(self.request.recv(1024))
            return
        broker = urlsplit(settings.CELERY_BROKER_URL)
        with socket.create_connection((broker.hostname, broker.port)) as connection:
            back = threading.Thread(target=forward, args=(connection, self.request))
            back.start()
            forward(self.request, connection)
            connection.shutdown(socket.SHUT_WR)
            back.join()


def forward(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(65_536):
        sink.sendall(data)


def test_task_is_published_again_after_a_lost_connection(queue: Queue) -> None:
    DropsFirst.dropped.clear()
    url, options = settings.CELERY_BROKER_URL, settings.CELERY_BROKER_TRANSPORT_OPTIONS
    with servers.serving(DropsFirst) as port:
        url = url.replace(f":{urlsplit(url).port}/", f":{port}/")
        with Connection(url, transport_options=options) as connection:
            tasks.send_pending_mail.apply_async(connection=connection)  # type: ignore[call-arg] # passed on

    assert len(DropsFirst.dropped) == 1  # the connection was dropped
    assert [task.name for task in queue.waiting()] == ["service.accounts.tasks.send_pending_mail"]


@pytest.mark.parametrize(
    ("changed", "field", "message"),
    [
        ({"email": ""}, "email", "This field is required."),
        ({"email": "ada"}, "email", "Enter a valid email address."),
        ({"username": ""}, "username", "This field is required."),
        ({"username": "a b"}, "username", "Enter a valid username."),
        ({"username": "a" * 151}, "username", "Ensure this value has at most 150 characters (it has 151)."),
        ({"password2": "another-horse-7"}, "password2", "The two password fields didn"),
        ({"password1": "x7-y", "password2": "x7-y"}, "password2", "This password is too short."),
        ({"password1": "password", "password2": "password"}, "password2", "This password is too common."),
        ({"password1": "2846193750", "password2": "2846193750"}, "password2", "This password is entirely numeric."),
        (
            {"username": "adalovelace", "password1": "adalovelace1", "password2": "adalovelace1"},
            "password2",
            "The password is too similar to the username.",
        ),
    ],
)
def test_invalid_sign_up_is_a_form_error(
    client: Client, queue: Queue, changed: dict[str, str], field: str, message: str
) -> None:
    response = client.post(SIGN_UP, sign_up_data(**changed))

    found = errors(response)
    assert list(found) == [field]
    assert found[field][0].startswith(message)
    assert (User.objects.count(), Mail.objects.count(), queue.waiting()) == (0, 0, [])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"username": "ADA", "email": "other@example.org"},
            {"username": ["A user with that username already exists."]},
        ),
        (
            {"username": "other", "email": "ADA@Example.ORG"},
            {"__all__": ["This email address already has an account. Log in or reset your password."]},
        ),
    ],
    ids=["username", "email"],
)
def test_username_and_email_are_unique_case_insensitively(
    client: Client, changed: dict[str, str], expected: dict[str, list[str]]
) -> None:
    make_user()

    response = client.post(SIGN_UP, sign_up_data(**changed))

    assert errors(response) == expected
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "others",
    [{}, {"username": "ADA", "email": "other@example.org"}, {"username": "other", "email": "ADA@example.org"}],
    ids=["the-same", "username-in-another-case", "email-in-another-case"],
)
def test_concurrent_sign_ups_create_one_account_and_one_form_error(
    monkeypatch: pytest.MonkeyPatch, queue: Queue, others: dict[str, str]
) -> None:
    both_valid = threading.Barrier(2, timeout=20)
    original = services.sign_up

    def synchronized(user: User) -> None:
        both_valid.wait()  # both forms have passed validation
        original(user)

    monkeypatch.setattr(services, "sign_up", synchronized)

    def sign_up(data: dict[str, str]) -> Any:
        try:
            return Client().post(SIGN_UP, data)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        responses = sorted(
            pool.map(sign_up, [sign_up_data(), sign_up_data(**others)]), key=lambda each: each.status_code
        )

    assert [response.status_code for response in responses] == [200, 302]
    assert errors(responses[0]) == {
        "__all__": ["This username or email address has just been taken. Choose another one."]
    }
    user = User.objects.get()
    assert (Profile.objects.get().user, Mail.objects.get().user) == (user, user)
    assert [task.args for task in queue.waiting()] == [[user.pk]]


def test_username_field_has_autocomplete_attributes(client: Client) -> None:
    attributes = client.get(SIGN_UP).context["form"].fields["username"].widget.attrs

    assert (attributes["autocomplete"], attributes["autocapitalize"]) == ("username", "none")


def test_sign_up_returns_405_for_put(client: Client) -> None:
    response = client.put(SIGN_UP, sign_up_data())

    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD, POST")


# --- login ---------------------------------------------------------------------------------------


def test_login_redirects_to_the_profile_and_is_recorded_once(client: Client) -> None:
    user = make_user()

    response = client.post(LOGIN, {"username": "ada", "password": PASSWORD})

    assert (response.status_code, response["Location"]) == (302, PROFILE)
    assert client.session["_auth_user_id"] == str(user.pk)
    assert [login.user for login in Login.objects.all()] == [user]
    assert str(Login.objects.get()) == f"login {Login.objects.get().pk}"


@pytest.mark.parametrize(("username", "password"), [("ada", "wrong-horse-7"), ("nobody", PASSWORD)])
def test_wrong_password_and_unknown_username_get_the_same_error_and_are_not_recorded(
    client: Client, username: str, password: str
) -> None:
    make_user()

    response = client.post(LOGIN, {"username": username, "password": password})

    assert errors(response) == {
        "__all__": ["Please enter a correct username and password. Note that both fields may be case-sensitive."]
    }
    assert "_auth_user_id" not in client.session
    assert Login.objects.count() == 0


def test_inactive_user_cannot_log_in(client: Client) -> None:
    make_user(is_active=False)

    response = client.post(LOGIN, {"username": "ada", "password": PASSWORD})

    assert list(errors(response)) == ["__all__"]
    assert Login.objects.count() == 0


def test_login_does_not_redirect_to_another_site(client: Client) -> None:
    make_user()

    response = client.post(f"{LOGIN}?next=https://evil.example/", {"username": "ada", "password": PASSWORD})

    assert (response.status_code, response["Location"]) == (302, PROFILE)


def test_profile_redirects_to_login_after_logout(client: Client) -> None:
    client.force_login(make_user())
    assert client.get(PROFILE).status_code == 200

    response = client.post(reverse("accounts:logout"))

    assert (response.status_code, response["Location"]) == (302, LOGIN)
    refused = client.get(PROFILE)
    assert (refused.status_code, refused["Location"]) == (302, f"{LOGIN}?next={PROFILE}")


def test_logout_returns_405_for_get(client: Client) -> None:
    client.force_login(make_user())

    response = client.get(reverse("accounts:logout"))

    assert response.status_code == 405
    assert client.get(PROFILE).status_code == 200


def test_admin_login_redirects_to_the_login_page(client: Client) -> None:
    response = client.get("/admin/", follow=True)

    assert response.redirect_chain == [
        ("/admin/login/?next=/admin/", 302),
        (f"{LOGIN}?next=%2Fadmin%2F", 302),
    ]


# --- NUL characters ------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["username", "email", "password1", "password2"])
def test_nul_in_sign_up_is_a_form_error(client: Client, field: str) -> None:
    response = client.post(SIGN_UP, sign_up_data(**{field: sign_up_data()[field] + "\0"}))

    assert "Null characters are not allowed." in errors(response)[field]
    assert User.objects.count() == 0


@pytest.mark.parametrize("field", ["username", "password"])
def test_nul_in_login_is_a_form_error(client: Client, field: str) -> None:
    make_user()

    response = client.post(LOGIN, {"username": "ada", "password": PASSWORD} | {field: "ada\0"})

    assert errors(response) == {field: ["Null characters are not allowed."]}
    assert Login.objects.count() == 0


@pytest.mark.parametrize("field", ["old_password", "new_password1", "new_password2"])
def test_nul_in_password_change_is_a_form_error(client: Client, field: str) -> None:
    user = make_user()
    client.force_login(user)
    new = {"old_password": PASSWORD, "new_password1": "new-horse-8", "new_password2": "new-horse-8"}

    response = client.post(reverse("accounts:password_change"), new | {field: new[field] + "\0"})

    assert "Null characters are not allowed." in errors(response)[field]
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_nul_in_password_reset_is_a_form_error(client: Client) -> None:
    response = client.post(reverse("accounts:password_reset"), {"email": "ada@example.org\0"})

    assert "Null characters are not allowed." in errors(response)["email"]


def test_nul_in_display_name_is_a_form_error_and_changes_nothing(client: Client) -> None:
    user = make_user()
    Profile.objects.create(user=user, display_name="Ada")
    client.force_login(user)

    response = client.post(PROFILE, {"display_name": "Ada\0"})

    assert errors(response) == {"display_name": ["Null characters are not allowed."]}
    assert Profile.objects.get().display_name == "Ada"


# --- passwords -----------------------------------------------------------------------------------


def test_password_change_replaces_the_password_and_keeps_the_session(client: Client) -> None:
    user = make_user()
    client.force_login(user)

    response = client.post(
        reverse("accounts:password_change"),
        {"old_password": PASSWORD, "new_password1": "new-horse-8", "new_password2": "new-horse-8"},
    )

    assert (response.status_code, response["Location"]) == (302, PROFILE)
    user.refresh_from_db()
    assert (user.check_password("new-horse-8"), user.check_password(PASSWORD)) == (True, False)
    assert b"Your password has been changed." in client.get(PROFILE).content


def test_password_change_requires_the_old_password(client: Client) -> None:
    user = make_user()
    client.force_login(user)

    response = client.post(
        reverse("accounts:password_change"),
        {"old_password": "guess", "new_password1": "new-horse-8", "new_password2": "new-horse-8"},
    )

    assert list(errors(response)) == ["old_password"]
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def request_reset(client: Client, address: str) -> Any:
    return client.post(reverse("accounts:password_reset"), {"email": address})


@pytest.mark.django_db(transaction=True)
def test_password_reset_link_works_once(client: Client, queue: Queue) -> None:
    user = make_user()

    response = request_reset(client, "ADA@example.org")

    assert (response.status_code, response["Location"]) == (302, reverse("accounts:password_reset_sent"))
    assert client.get(response["Location"]).status_code == 200
    sent = Mail.objects.get()
    message = queue.take()
    assert (message.name, message.args) == (
        "service.accounts.tasks.send_password_reset_email",
        [sent.pk, "http://testserver"],  # the worker creates the token
    )

    assert message.run() == "SUCCESS"

    (message_sent,) = mail.outbox
    assert (message_sent.subject, message_sent.to) == ("Reset your Mainstay password", ["ada@example.org"])
    (link,) = re.findall(r"http://testserver(/\S+)", str(message_sent.body))
    form = client.get(link, follow=True)
    assert form.context["validlink"] is True
    address = form.redirect_chain[-1][0]
    done = client.post(address, {"new_password1": "new-horse-8", "new_password2": "new-horse-8"})
    assert (done.status_code, done["Location"]) == (302, LOGIN)
    user.refresh_from_db()
    assert user.check_password("new-horse-8")

    again = Client().get(link, follow=True)
    assert (again.status_code, again.context["validlink"]) == (200, False)
    assert b"This link is invalid" in again.content


@pytest.mark.django_db(transaction=True)
def test_password_reset_for_unknown_address_gets_the_same_response_and_no_mail(client: Client, queue: Queue) -> None:
    make_user()
    known = request_reset(client, "ada@example.org")
    queue.client.flushdb()
    Mail.objects.all().delete()

    unknown = request_reset(client, "nobody@example.org")

    assert (unknown.status_code, unknown["Location"], unknown.content) == (
        known.status_code,
        known["Location"],
        known.content,
    )
    assert (Mail.objects.count(), queue.waiting(), mail.outbox) == (0, [], [])


@pytest.mark.django_db(transaction=True)
def test_password_reset_without_broker_gets_the_same_response(
    client: Client, valkey_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    make_user()

    with stopped(valkey_server):
        response = request_reset(client, "ada@example.org")

    assert response.status_code == 302
    assert "Error calling request_password_reset.<locals>.<lambda> in on_commit()" in caplog.text  # the broker was down
    assert Mail.objects.get().state == Mail.State.PENDING


@pytest.mark.parametrize("uid", ["MQ", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw", "AA", "~"])
def test_forged_password_reset_link_is_invalid(client: Client, uid: str) -> None:
    make_user(pk=1)

    response = client.get(reverse("accounts:password_reset_confirm", args=[uid, "abc-123"]))

    assert (response.status_code, response.context["validlink"]) == (200, False)


def test_login_invalidates_password_reset_links(client: Client) -> None:
    user = make_user()
    token = default_token_generator.make_token(user)

    client.post(LOGIN, {"username": "ada", "password": PASSWORD})

    user.refresh_from_db()
    assert not default_token_generator.check_token(user, token)


# --- profile and admin ---------------------------------------------------------------------------


def test_display_name_is_saved_and_escaped(client: Client) -> None:
    user = make_user()
    Profile.objects.create(user=user)
    client.force_login(user)

    response = client.post(PROFILE, {"display_name": "<b>Ada</b>"}, follow=True)

    assert response.redirect_chain == [(PROFILE, 302)]
    assert Profile.objects.get().display_name == str(Profile.objects.get()) == "<b>Ada</b>"
    assert b"Your profile has been saved." in response.content
    assert b"&lt;b&gt;Ada&lt;/b&gt;" in response.content
    assert b"<b>Ada" not in response.content


def test_too_long_display_name_is_a_form_error_and_changes_nothing(client: Client) -> None:
    user = make_user()
    Profile.objects.create(user=user, display_name="Ada")
    client.force_login(user)

    response = client.post(PROFILE, {"display_name": "a" * 81})

    assert errors(response) == {"display_name": ["Ensure this value has at most 80 characters (it has 81)."]}
    assert Profile.objects.get().display_name == "Ada"
    assert '<h1 tabindex="-1">Ada</h1>' in response.content.decode()


def test_profile_page_creates_the_profile_of_a_superuser(client: Client) -> None:
    call_command("createsuperuser", "--noinput", username="root", email="root@example.org")
    root = User.objects.get()
    assert Profile.objects.count() == 0
    client.force_login(root)

    assert client.get(PROFILE).status_code == 200
    assert client.get(PROFILE).status_code == 200

    profile = Profile.objects.get()
    assert (profile.user, str(profile)) == (root, f"profile {profile.pk}")


def test_several_users_can_have_no_email_address() -> None:
    User.objects.create_user("first")
    User.objects.create_user("second")

    assert list(User.objects.values_list("email", flat=True)) == ["", ""]


@pytest.fixture
def administrator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root", "root@example.org", PASSWORD))
    return client


@pytest.fixture
def people() -> None:
    for name in ("ada", "grace", "linus"):
        user = make_user(name)
        Profile.objects.create(user=user, display_name=name.title(), picture="pictures/x.webp" if name == "ada" else "")
        Mail.objects.create(user=user, kind=Mail.Kind.WELCOME, state="sent" if name == "ada" else "failed")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("user/", 4),
        ("user/?q=grac", 1),
        ("user/?is_staff__exact=1", 1),
        ("profile/", 3),
        ("profile/?q=Linus", 1),
        ("profile/?q=ada@example.org", 1),
        ("profile/?picture__isempty=0", 1),
        ("profile/?user__is_staff__exact=1", 0),
        ("mail/", 3),
        ("mail/?q=ada", 1),
        ("mail/?state__exact=failed", 2),
        ("mail/?kind__exact=password_reset", 0),
    ],
)
def test_admin_lists_can_be_searched_and_filtered(administrator: Client, path: str, count: int) -> None:
    response = administrator.get(f"/admin/accounts/{path}")

    assert (response.status_code, response.context["cl"].result_count) == (200, count)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("model", ["user", "profile"])
def test_admin_forms_are_displayed(administrator: Client, model: str) -> None:
    first: Callable[[], Any] = {"user": User.objects.first, "profile": Profile.objects.first}[model]

    # Django gets the logged-in user and the displayed one: two queries, but not an N+1.
    with zeal_ignore([{"model": "accounts.User", "field": "get()"}]):
        assert administrator.get(f"/admin/accounts/{model}/{first().pk}/change/").status_code == 200
    assert administrator.get(f"/admin/accounts/{model}/add/").status_code == 200


@pytest.mark.usefixtures("people")
def test_mail_is_read_only_in_the_admin(administrator: Client) -> None:
    one = Mail.objects.get(user__username="ada")
    change = f"/admin/accounts/mail/{one.pk}/change/"

    assert administrator.get(change).status_code == 200
    assert administrator.post(change, {"state": "pending"}).status_code == 403
    assert administrator.get("/admin/accounts/mail/add/").status_code == 403
    one.refresh_from_db()
    assert one.state == "sent"


def test_deleting_a_user_deletes_the_picture(django_capture_on_commit_callbacks: Any) -> None:
    user = User.objects.create_user("gone", "gone@example.org")
    own = Profile.objects.create(user=user)
    own.picture.save("picture.webp", ContentFile(b"picture"))
    storage, name = own.picture.storage, str(own.picture.name)
    assert storage.exists(name)

    with django_capture_on_commit_callbacks(execute=True):
        User.objects.filter(pk=user.pk).delete()

    assert not storage.exists(name)
