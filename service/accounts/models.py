"""People, what they look like, when they came and what was written to them."""

import uuid
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.db.models.functions import Upper
from django.db.models.signals import post_delete
from django.dispatch import receiver


class User(AbstractUser):
    """Django's user, whose name and e-mail address are unique whatever their case.

    By `Upper`, since that is what `iexact` asks PostgreSQL for: one index serves both.
    """

    class Meta(AbstractUser.Meta):
        # The name that every tool for Django's tables expects.
        db_table = "auth_user"
        constraints: ClassVar = [
            models.UniqueConstraint(
                Upper("username"), name="username_unique", violation_error_message="This username is taken."
            ),
            models.UniqueConstraint(
                Upper("email"),
                name="email_unique",
                condition=~models.Q(email=""),
                violation_error_message="An account with this e-mail address exists. Log in, or reset the password.",
            ),
        ]


def picture_name(profile: "Profile", filename: str) -> str:
    """A name that can't be guessed and holds nothing of the uploaded one."""
    return f"pictures/{uuid.uuid4().hex}.webp"


class Profile(models.Model):
    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="profile")
    display_name = models.CharField(max_length=80, blank=True)
    picture = models.ImageField(upload_to=picture_name, blank=True)

    def __str__(self) -> str:
        return self.display_name or f"profile {self.pk}"


@receiver(post_delete, sender=Profile)
def delete_picture(instance: Profile, **_: object) -> None:
    """A person who goes takes their picture along; a cascade calls no `delete` of ours."""
    if instance.picture:
        transaction.on_commit(lambda: instance.picture.storage.delete(str(instance.picture.name)), robust=True)


class Login(models.Model):
    """One for each login, for the report to count."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="logins")
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"login {self.pk}"


class Mail(models.Model):
    """One for each message to a person, so that none is sent twice and the report can count.

    pending → sending → sent or failed. Who moves it from pending to sending sends it; nobody else does. One that
    stays in sending had its worker killed at the wrong moment: whether it was sent nobody knows, so it counts
    as failed and is not sent again.
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
