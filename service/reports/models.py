from typing import ClassVar

from django.db import models


class DailyReport(models.Model):
    """The figures of one UTC day, stored once after the day is over."""

    day = models.DateField(unique=True)
    sign_ups = models.PositiveIntegerField()
    logins = models.PositiveIntegerField()
    mails_sent = models.PositiveIntegerField()
    mails_failed = models.PositiveIntegerField()
    sessions_removed = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-day"]

    def __str__(self) -> str:
        return f"report of {self.day}"


class SessionCleanup(models.Model):
    """The number of expired sessions removed on one UTC day."""

    day = models.DateField(unique=True)
    removed = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"cleanup of {self.day}"
