from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from service.reports import daily


class Command(BaseCommand):
    help = "Stores the report of a UTC day that is over; one that is stored stays as it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--day", type=date.fromisoformat, help="YYYY-MM-DD (all that are missing, to yesterday)")

    def handle(self, *args: Any, day: date | None, **options: Any) -> None:
        try:
            results = [daily.generate(each) for each in ([day] if day else daily.missing_days())]
        except ValueError as error:
            raise CommandError(str(error)) from error
        for report, created in results:
            self.stdout.write(f"{report.day}: {'stored' if created else 'was stored already'}.")
        if not results:
            self.stdout.write("No report is missing.")
