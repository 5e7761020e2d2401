"""Mail is sent at most once, to a real SMTP server."""

import threading
import time
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import connections
from django.utils import timezone
from prometheus_client import REGISTRY
from pytest_django import Settings

from service.accounts import tasks
from service.accounts.models import Mail, User
from tests.support.ports import free_port
from tests.support.tasks import Message, Queue

pytestmark = pytest.mark.django_db(transaction=True)

Events = list[MutableMapping[str, Any]]


@dataclass
class Inbox:
    """The messages that the server received and accepted, and the replies with which it refuses."""

    replies: dict[str, str] = field(default_factory=dict)
    drops: bool = False
    received: list[bytes] = field(default_factory=list)
    accepted: list[tuple[list[str], bytes]] = field(default_factory=list)

    async def handle_MAIL(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:  # noqa: N802 # aiosmtpd's name
        envelope.mail_from = address
        return self.replies.get("MAIL", "250 OK")

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:  # noqa: N802 # aiosmtpd's name
        if "RCPT" not in self.replies:
            envelope.rcpt_tos.append(address)
        return self.replies.get("RCPT", "250 OK")

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802 # aiosmtpd's name
        assert isinstance(envelope.content, bytes)
        self.received.append(envelope.content)
        if self.drops:
            assert server.transport
            server.transport.abort()  # type: ignore[attr-defined] # it is a socket's
        elif "DATA" not in self.replies:
            self.accepted.append((envelope.rcpt_tos, envelope.content))
        return self.replies.get("DATA", "250 OK")


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Inbox]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    inbox = Inbox()
    server = Controller(inbox, hostname=settings.EMAIL_HOST, port=settings.EMAIL_PORT)
    server.start()
    yield inbox
    server.stop()


@pytest.fixture
def unreachable_server(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()


@pytest.fixture
def welcome() -> Mail:
    """The pending welcome mail of a new user."""
    user = User.objects.create_user("ada", "ada@example.org")
    return Mail.objects.create(user=user, kind=Mail.Kind.WELCOME)


@pytest.fixture
def message(queue: Queue, welcome: Mail) -> Message:
    """The task of the welcome mail, taken from the queue."""
    tasks.send_welcome_email.delay(welcome.user_id)
    return queue.take()


def state(mail: Mail) -> str:
    mail.refresh_from_db()
    return mail.state


def event(mail: Mail, name: str, level: str, **others: object) -> dict[str, object]:
    """Returns the complete log event; it contains no address."""
    return {
        "event": name,
        "log_level": level,
        "kind": mail.kind,
        "mail_id": mail.pk,
        "user_id": mail.user_id,
        **others,
    }


def test_welcome_mail_is_sent_as_plain_text_to_the_user(
    inbox: Inbox, message: Message, welcome: Mail, events: Events
) -> None:
    assert message.run() == "SUCCESS"

    ((recipients, content),) = inbox.accepted
    sent_message = message_from_bytes(content)
    assert recipients == ["ada@example.org"]
    assert (sent_message["Subject"], sent_message["To"], sent_message["From"], sent_message.get_content_type()) == (
        "Welcome to Mainstay",
        "ada@example.org",
        "webmaster@localhost",
        "text/plain",
    )
    assert sent_message.get_payload().splitlines()[0] == "Hello ada,"  # type: ignore[union-attr] # no multipart
    assert (state(welcome), str(welcome)) == ("sent", f"welcome {welcome.pk}")
    assert events == [event(welcome, "mail_sent", "info")]


def test_task_that_runs_twice_sends_one_mail(inbox: Inbox, message: Message, welcome: Mail, events: Events) -> None:
    assert (message.run(), message.run()) == ("SUCCESS", "SUCCESS")

    assert (len(inbox.accepted), state(welcome)) == (1, "sent")
    assert events == [
        event(welcome, "mail_sent", "info"),
        {"event": "mail_skipped", "log_level": "info"},
    ]


def test_two_concurrent_workers_send_one_mail(
    inbox: Inbox, message: Message, welcome: Mail, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_pending = threading.Barrier(2, timeout=20)
    original = tasks._transition  # noqa: SLF001 # both workers wait here

    def synchronized(mail: Mail, before: Mail.State, after: Mail.State) -> bool:
        if before == Mail.State.PENDING:
            assert mail.state == "pending"
            both_pending.wait()
        return original(mail, before, after)

    monkeypatch.setattr(tasks, "_transition", synchronized)

    def run(_: int) -> str:
        try:
            return message.run()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == ["SUCCESS", "SUCCESS"]

    assert (len(inbox.accepted), state(welcome)) == (1, "sent")
    assert sorted(each["event"] for each in events) == ["mail_sent", "mail_skipped"]


@pytest.mark.usefixtures("unreachable_server")
def test_unreachable_server_is_retried_three_times_a_minute_apart_before_the_mail_fails(
    queue: Queue, message: Message, welcome: Mail, events: Events
) -> None:
    for attempt in (1, 2, 3):
        begin = datetime.now(UTC)

        assert message.run() == "RETRY"

        end = datetime.now(UTC)
        assert state(welcome) == "pending"
        message = queue.take()
        assert message.args == [welcome.user_id]
        assert message.headers["retries"] == attempt
        assert message.due
        assert begin + timedelta(seconds=60) <= message.due <= end + timedelta(seconds=60)

    assert message.run() == "SUCCESS"  # no retry is left

    assert (state(welcome), queue.waiting()) == ("failed", [])
    assert events == [
        *(
            event(welcome, "mail_retried", "warning", attempt=attempt, error="ConnectionRefusedError")
            for attempt in (1, 2, 3)
        ),
        event(welcome, "mail_failed", "error", error="DeliveryError"),
    ]


def measured(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"task": tasks.send_welcome_email.name, **labels}) or 0


@pytest.mark.usefixtures("unreachable_server")
def test_retry_is_counted_and_its_countdown_is_not_queue_time(queue: Queue, message: Message) -> None:
    duration, queued = "celery_task_duration_seconds_count", "celery_task_queue_seconds_sum"
    retried, failed = measured(duration, outcome="retried"), measured(duration, outcome="failed")
    began = time.time()
    assert message.run() == "RETRY"
    assert measured(duration, outcome="retried") == retried + 1

    # when the retry runs two seconds after its ETA
    again, waited = queue.take(), measured(queued)
    assert again.due
    eta, published_at = again.due - timedelta(seconds=62), again.headers["published_at"] - 62
    Message(again.name, again.args, again.headers | {"eta": eta.isoformat(), "published_at": published_at}).run()

    assert 2 <= measured(queued) - waited <= 2 + time.time() - began
    assert measured(duration, outcome="failed") == failed


@pytest.mark.parametrize(
    ("command", "reply", "error"),
    [
        ("MAIL", "451 try later", "the server answered 451"),
        ("RCPT", "450 busy", "the recipient was refused"),
        ("RCPT", "550 no such user ada@example.org", "the recipient was refused"),
        ("DATA", "452 no space", "the server answered 452"),
        ("DATA", "554 looks like spam", "the server answered 554"),
    ],
)
def test_mail_refused_by_the_server_is_retried_and_sent_once(
    inbox: Inbox,
    queue: Queue,
    message: Message,
    welcome: Mail,
    events: Events,
    caplog: pytest.LogCaptureFixture,
    command: str,
    reply: str,
    error: str,
) -> None:
    caplog.set_level("CRITICAL", logger="mail.log")  # the test server's own log
    caplog.set_level("INFO")
    inbox.replies[command] = reply
    assert message.run() == "RETRY"
    assert (inbox.accepted, state(welcome)) == ([], "pending")

    inbox.replies.clear()
    assert queue.take().run() == "SUCCESS"

    assert ([recipients for recipients, _ in inbox.accepted], state(welcome)) == ([["ada@example.org"]], "sent")
    assert queue.waiting() == []
    assert events == [
        event(welcome, "mail_retried", "warning", attempt=1, error=error),
        event(welcome, "mail_sent", "info"),
    ]
    assert "DeliveryError" in caplog.text  # logged by Celery
    assert "ada@example.org" not in caplog.text


def test_mail_fails_without_retry_if_the_connection_is_lost_after_the_data(
    inbox: Inbox, queue: Queue, message: Message, welcome: Mail, events: Events
) -> None:
    inbox.drops = True

    assert message.run() == "FAILURE"

    assert len(inbox.received) == 1  # it may have been accepted
    assert (state(welcome), queue.waiting()) == ("failed", [])
    assert events == [event(welcome, "mail_failed", "error", error="SMTPServerDisconnected")]

    inbox.drops = False
    assert message.run() == "SUCCESS"
    assert (inbox.accepted, state(welcome)) == ([], "failed")


def test_mail_to_a_user_without_address_fails(inbox: Inbox, message: Message, welcome: Mail, events: Events) -> None:
    User.objects.update(email="")

    assert message.run() == "FAILURE"

    assert (inbox.received, state(welcome)) == ([], "failed")
    assert events == [event(welcome, "mail_failed", "error", error="ValueError")]


def test_mail_to_a_deleted_user_is_skipped(inbox: Inbox, message: Message, queue: Queue, events: Events) -> None:
    User.objects.all().delete()

    assert message.run() == "SUCCESS"

    assert (inbox.received, Mail.objects.count(), queue.waiting()) == ([], 0, [])
    assert events == [{"event": "mail_skipped", "log_level": "info"}]


def test_username_cannot_inject_mail_headers(inbox: Inbox, message: Message) -> None:
    User.objects.update(username="ada\nBcc: eve@example.org")  # the forms reject it

    assert message.run() == "SUCCESS"

    ((recipients, content),) = inbox.accepted
    assert (recipients, message_from_bytes(content)["Bcc"]) == (["ada@example.org"], None)


# --- send_pending_mail ---------------------------------------------------------------------------


def age(mail: Mail, by: timedelta) -> None:
    Mail.objects.filter(pk=mail.pk).update(changed_at=timezone.now() - by)


def test_stale_welcome_mail_is_enqueued_again_and_sent_once(
    inbox: Inbox, queue: Queue, welcome: Mail, events: Events
) -> None:
    age(welcome, tasks.STALE_AFTER + timedelta(seconds=1))

    tasks.send_pending_mail.run()
    tasks.send_pending_mail.run()

    assert [(each.name, each.args) for each in queue.waiting()] == [
        ("service.accounts.tasks.send_welcome_email", [welcome.user_id])
    ] * 2
    assert (queue.take().run(), queue.take().run()) == ("SUCCESS", "SUCCESS")
    assert (len(inbox.accepted), state(welcome)) == (1, "sent")
    assert [each["event"] for each in events] == ["mail_sent", "mail_skipped"]


def test_pending_mail_that_is_not_stale_is_left_unchanged(queue: Queue, welcome: Mail, events: Events) -> None:
    age(welcome, tasks.STALE_AFTER - timedelta(seconds=30))

    tasks.send_pending_mail.run()

    assert (queue.waiting(), state(welcome), events) == ([], "pending", [])


def test_interrupted_mail_fails_and_is_never_sent_again(
    inbox: Inbox, queue: Queue, message: Message, welcome: Mail, events: Events
) -> None:
    Mail.objects.update(state=Mail.State.SENDING)
    age(welcome, tasks.STALE_AFTER + timedelta(seconds=1))

    tasks.send_pending_mail.run()

    assert (state(welcome), queue.waiting()) == ("failed", [])
    assert events == [{"event": "mail_abandoned", "log_level": "error", "count": 1}]
    assert message.run() == "SUCCESS"
    assert (inbox.received, state(welcome)) == ([], "failed")


def test_mail_being_sent_is_left_unchanged(queue: Queue, welcome: Mail, events: Events) -> None:
    Mail.objects.update(state=Mail.State.SENDING)

    tasks.send_pending_mail.run()

    assert (state(welcome), queue.waiting(), events) == ("sending", [], [])


def test_stale_password_reset_fails(queue: Queue, welcome: Mail, events: Events) -> None:
    reset = Mail.objects.create(user=welcome.user, kind=Mail.Kind.PASSWORD_RESET)
    age(reset, tasks.STALE_AFTER + timedelta(seconds=1))

    tasks.send_pending_mail.run()

    assert (state(reset), state(welcome), queue.waiting()) == ("failed", "pending", [])
    assert events == [{"event": "mail_abandoned", "log_level": "error", "count": 1}]
