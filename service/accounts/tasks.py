"""Mail to people. Each is claimed before it is sent, so a task that runs twice sends once."""

from collections.abc import Callable
from datetime import timedelta
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import Any

import structlog
from celery import Task
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMessage, get_connection
from django.db.models import Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from service.accounts.models import Mail, User
from service.celery import app

logger = structlog.get_logger(__name__)

# No result is kept: what became of a mail stands in its row, and for a result the publisher, which is a web
# process, would subscribe to a channel of the broker.
RETRIES = 3
RETRY_SECONDS = 60
# A pending mail of that age has no task any more: its publication failed.
FORGOTTEN = timedelta(seconds=RETRY_SECONDS * (RETRIES + 2))


class NotAccepted(Exception):  # noqa: N818 # a state of a mail, not a fault of ours
    """The mail server has certainly not taken the mail, so it may be sent again."""


@app.task(bind=True, max_retries=RETRIES, default_retry_delay=RETRY_SECONDS, ignore_result=True)
def send_welcome_email(self: Task, user_id: int) -> None:
    """Welcomes a new person."""
    _send(self, {"user_id": user_id, "kind": Mail.Kind.WELCOME}, lambda user: _write(user, "welcome", {}))


@app.task(bind=True, max_retries=RETRIES, default_retry_delay=RETRY_SECONDS, ignore_result=True)
def send_password_reset_email(self: Task, mail_id: int, base_url: str) -> None:
    """Writes the link to a new password; its token is made here, so that no queue holds it."""

    def write(user: User) -> EmailMessage:
        arguments = [urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)]
        return _write(
            user, "password_reset", {"url": base_url + reverse("accounts:password_reset_confirm", args=arguments)}
        )

    _send(self, {"pk": mail_id, "kind": Mail.Kind.PASSWORD_RESET}, write)


# A copy that waited as long as that would take for forgotten what merely waits behind it.
@app.task(ignore_result=True, expires=FORGOTTEN.total_seconds())
def send_pending_mail() -> None:
    """Sends what was never published, and gives up what was interrupted while it was sent.

    A reset that was never published is given up too: by now its person has asked again.
    """
    overdue = Mail.objects.filter(changed_at__lt=timezone.now() - FORGOTTEN)
    forgotten = Q(state=Mail.State.PENDING, kind=Mail.Kind.WELCOME)
    for user_id in overdue.filter(forgotten).values_list("user_id", flat=True):
        send_welcome_email.delay(user_id)
    unfinished = [Mail.State.PENDING, Mail.State.SENDING]
    given_up = (
        overdue.filter(state__in=unfinished)
        .exclude(forgotten)
        .update(state=Mail.State.FAILED, changed_at=timezone.now())
    )
    if given_up:
        logger.error("mail_given_up", count=given_up)


def _send(task: Task, which: dict[str, Any], write: Callable[[User], EmailMessage]) -> None:
    mail = Mail.objects.filter(**which).select_related("user").first()
    if mail is None or not _move(mail, Mail.State.PENDING, Mail.State.SENDING):
        logger.info("mail_not_due", kind=which["kind"])
        return
    log = logger.bind(kind=mail.kind, mail_id=mail.pk, user_id=mail.user_id)
    try:
        _hand_over(write(mail.user))
    except NotAccepted as error:
        if task.request.retries < RETRIES:
            _move(mail, Mail.State.SENDING, Mail.State.PENDING)
            log.warning("mail_retried", attempt=task.request.retries + 1, error=str(error))
            raise task.retry(exc=error) from error
        _fail(mail, log, error)
    except Exception as error:
        _fail(mail, log, error)
        raise
    else:
        _move(mail, Mail.State.SENDING, Mail.State.SENT)
        log.info("mail_sent")


def _hand_over(message: EmailMessage) -> None:
    """Gives the message to the mail server; NotAccepted where it is certain that the server has it not."""
    connection = get_connection()
    try:
        connection.open()
    except (OSError, SMTPException) as error:
        raise NotAccepted(type(error).__name__) from error
    try:
        if not connection.send_messages([message]):
            raise ValueError("The message has no recipient.")
    except SMTPRecipientsRefused as error:
        raise NotAccepted("the recipient was refused") from error
    except SMTPResponseException as error:
        raise NotAccepted(f"the server answered {error.smtp_code}") from error
    finally:
        connection.close()


def _write(user: User, template: str, context: dict[str, Any]) -> EmailMessage:
    text = render_to_string(f"accounts/mail/{template}.txt", {"user": user, **context})
    subject, _, body = text.partition("\n\n")
    return EmailMessage(subject.removeprefix("Subject: "), body, to=[user.email])


def _move(mail: Mail, before: Mail.State, after: Mail.State) -> bool:
    """Whether it was this call that moved the mail on."""
    return bool(Mail.objects.filter(pk=mail.pk, state=before).update(state=after, changed_at=timezone.now()))


def _fail(mail: Mail, log: Any, error: Exception) -> None:
    _move(mail, Mail.State.SENDING, Mail.State.FAILED)
    log.error("mail_failed", error=type(error).__name__)
