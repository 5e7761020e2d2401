"""The transactions behind the account pages, and what follows their commit."""

from django.core.files.base import ContentFile
from django.db import transaction

from service.accounts import tasks
from service.accounts.models import Mail, Profile, User


class StorageError(Exception):
    """The storage did not accept a file."""


def sign_up(user: User) -> None:
    """Stores a new user with a profile and enqueues the welcome mail.

    Raises IntegrityError if another sign-up has just taken the username or email address.
    """
    with transaction.atomic():
        user.save()
        Profile.objects.create(user=user)
        Mail.objects.create(user=user, kind=Mail.Kind.WELCOME)
        # robust: the account exists even if the broker is down; send_pending_mail enqueues the mail later.
        transaction.on_commit(lambda: tasks.send_welcome_email.delay(user.pk), robust=True)


def request_password_reset(user: User, base_url: str) -> None:
    """Enqueues a mail with a link to set a new password; `base_url` is scheme and host."""
    with transaction.atomic():
        mail = Mail.objects.create(user=user, kind=Mail.Kind.PASSWORD_RESET)
        transaction.on_commit(lambda: tasks.send_password_reset_email.delay(mail.pk, base_url), robust=True)


def update_profile(profile: Profile, *, picture: ContentFile | None, remove_picture: bool) -> None:
    """Stores the profile; a replaced or removed picture is deleted after the commit.

    Raises StorageError if the storage does not accept the new picture.
    """
    if picture:
        # Before the transaction, so that a slow storage does not keep the row locked.
        try:
            profile.picture.save("picture.webp", picture, save=False)
        except Exception as error:  # each storage backend raises its own
            raise StorageError from error
    with transaction.atomic():
        # Another request may have changed the picture since this one read the profile.
        current = Profile.objects.select_for_update().get(pk=profile.pk).picture
        if not picture:
            profile.picture = "" if remove_picture else current
        profile.save()
        if current and current.name != profile.picture.name:
            transaction.on_commit(lambda: current.storage.delete(str(current.name)), robust=True)
