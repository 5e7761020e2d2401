"""Users, their profiles, their logins and the mail sent to them."""

import uuid
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.db.models.functions import Upper
from django.db.models.signals import post_delete
from django.dispatch import receiver


class User(AbstractUser):
    """Django's user with a case-insensitively unique username and email address.

    The constraints use `Upper` because the lookup `iexact` does: one index serves both.
    """

    class Meta(AbstractUser.Meta):
        # The table name of Django's own user model.
        db_table = "auth_user"
        constraints: ClassVar = [
            models.UniqueConstraint(
                Upper("username"), name="username_unique", violation_error_message="This username is already taken."
            ),
            models.UniqueConstraint(
                Upper("email"),
                name="email_unique",
                condition=~models.Q(email=""),
                violation_error_message="This email address already has an account. Log in or reset your password.",
            ),
        ]


def picture_name(profile: "Profile", filename: str) -> str:
    """Returns a random name that contains nothing of the uploaded one."""
    return f"pictures/{uuid.uuid4().hex}.webp"


class Profile(models.Model):
    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="profile")
    display_name = models.CharField(max_length=80, blank=True)
    picture = models.ImageField(upload_to=picture_name, blank=True)

    def __str__(self) -> str:
        return self.display_name or f"profile {self.pk}"


@receiver(post_delete, sender=Profile)
def delete_picture(instance: Profile, **_: object) -> None:
    """Deletes the file of a deleted profile; a signal, because a cascade does not call Model.delete()."""
    if instance.picture:
        transaction.on_commit(lambda: instance.picture.storage.delete(str(instance.picture.name)), robust=True)


class Login(models.Model):
    """One login of a user, counted by the daily report."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="logins")
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"login {self.pk}"


class Mail(models.Model):
    """One message to a user: prevents duplicates and is counted by the daily report.

    pending → sending → sent or failed. Only the task that changes pending to sending sends the message. If its
    worker is killed while sending, the message may have been sent: it counts as failed and is not sent again.
    """

    class Kind(models.TextChoices):
        WELCOME = "welcome"
        PASSWORD_RESET = "password_reset"  # noqa: S105 # a kind

    class State(models.TextChoices):
        PENDING = "pending"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="mail")
    kind = models.CharField(max_length=20, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    changed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint("user", name="one_welcome", condition=models.Q(kind="welcome")),
        ]
        indexes: ClassVar = [models.Index(fields=["state", "changed_at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
