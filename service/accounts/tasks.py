"""Tasks that send mail, each at most once (docs/decisions/0003)."""

from collections.abc import Callable
from datetime import timedelta
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import Any

import structlog
from celery import Task
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMessage, get_connection
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from service.accounts.models import Mail, User
from service.celery import app

logger = structlog.get_logger(__name__)

RETRIES = 3
RETRY_SECONDS = 60
# All retries are over by then: a mail still pending has no task, because publishing it failed.
STALE_AFTER = timedelta(seconds=RETRY_SECONDS * (RETRIES + 2))


class DeliveryError(Exception):
    """The mail server did not accept the message, so it can be sent again without a duplicate."""


@app.task(bind=True, max_retries=RETRIES, default_retry_delay=RETRY_SECONDS, ignore_result=True)
def send_welcome_email(self: Task, user_id: int) -> None:
    mails = Mail.objects.filter(user_id=user_id, kind=Mail.Kind.WELCOME)
    _send(self, mails, lambda user: _message(user, "welcome"))


@app.task(bind=True, max_retries=RETRIES, default_retry_delay=RETRY_SECONDS, ignore_result=True)
def send_password_reset_email(self: Task, mail_id: int, base_url: str) -> None:
    """Creates the token here, so that the queue never holds one."""

    def compose(user: User) -> EmailMessage:
        arguments = [urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)]
        url = base_url + reverse("accounts:password_reset_confirm", args=arguments)
        return _message(user, "password_reset", url=url)

    _send(self, Mail.objects.filter(pk=mail_id), compose)


# Expires: after a backlog, mail whose task is still in the queue would look stale.
@app.task(ignore_result=True, expires=STALE_AFTER.total_seconds())
def send_pending_mail() -> None:
    """Enqueues stale welcome mails again; marks as failed what was interrupted, and stale password resets.

    A user whose reset was never enqueued has asked again by now.
    """
    stale = Mail.objects.filter(changed_at__lt=timezone.now() - STALE_AFTER)
    pending_welcome = Q(state=Mail.State.PENDING, kind=Mail.Kind.WELCOME)
    for user_id in stale.filter(pending_welcome).values_list("user_id", flat=True):
        send_welcome_email.delay(user_id)
    unfinished = stale.filter(state__in=[Mail.State.PENDING, Mail.State.SENDING]).exclude(pending_welcome)
    if count := unfinished.update(state=Mail.State.FAILED, changed_at=timezone.now()):
        logger.error("mail_abandoned", count=count)


def _send(task: Task, mails: QuerySet[Mail], compose: Callable[[User], EmailMessage]) -> None:
    mail = mails.select_related("user").first()
    if mail is None or not _transition(mail, Mail.State.PENDING, Mail.State.SENDING):
        logger.info("mail_skipped")
        return
    log = logger.bind(kind=mail.kind, mail_id=mail.pk, user_id=mail.user_id)
    try:
        _deliver(compose(mail.user))
    except DeliveryError as error:
        if task.request.retries < RETRIES:
            _transition(mail, Mail.State.SENDING, Mail.State.PENDING)
            log.warning("mail_retried", attempt=task.request.retries + 1, error=str(error))
            raise task.retry(exc=error) from error
        _fail(mail, log, error)
    except Exception as error:
        _fail(mail, log, error)
        raise
    else:
        _transition(mail, Mail.State.SENDING, Mail.State.SENT)
        log.info("mail_sent")


def _transition(mail: Mail, before: Mail.State, after: Mail.State) -> bool:
    """Returns whether this call changed the state; only one of several concurrent calls does."""
    return bool(Mail.objects.filter(pk=mail.pk, state=before).update(state=after, changed_at=timezone.now()))


def _fail(mail: Mail, log: Any, error: Exception) -> None:
    _transition(mail, Mail.State.SENDING, Mail.State.FAILED)
    log.error("mail_failed", error=type(error).__name__)


def _message(user: User, template: str, **context: str) -> EmailMessage:
    """The template's first line is the subject, the text follows after an empty line."""
    text = render_to_string(f"accounts/mail/{template}.txt", {"user": user, **context})
    subject, _, body = text.partition("\n\n")
    return EmailMessage(subject.removeprefix("Subject: "), body, to=[user.email])


def _deliver(message: EmailMessage) -> None:
    """Raises DeliveryError if the server certainly did not accept the message."""
    connection = get_connection()
    try:
        connection.open()
    except (OSError, SMTPException) as error:
        raise DeliveryError(type(error).__name__) from error
    try:
        if not connection.send_messages([message]):
            raise ValueError("The message has no recipient.")
    # Without the server's text, which can contain the address.
    except SMTPRecipientsRefused as error:
        raise DeliveryError("the recipient was refused") from error
    except SMTPResponseException as error:
        raise DeliveryError(f"the server answered {error.smtp_code}") from error
    finally:
        connection.close()
