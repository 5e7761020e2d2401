from typing import Any

from django.core.management.base import BaseCommand

from service.reports import daily


class Command(BaseCommand):
    help = "Removes the sessions that have expired and counts them for the report of the day."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{daily.remove_expired_sessions()} expired sessions removed.")
