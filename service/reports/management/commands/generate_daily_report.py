from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from service.reports import daily


class Command(BaseCommand):
    help = "Generates the report of a past UTC day. A stored report is never changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--day", type=date.fromisoformat, help="YYYY-MM-DD; default: all missing days up to yesterday"
        )

    def handle(self, *args: Any, day: date | None, **options: Any) -> None:
        try:
            results = [daily.generate(each) for each in ([day] if day else daily.missing_days())]
        except ValueError as error:
            raise CommandError(str(error)) from error
        for report, created in results:
            self.stdout.write(f"{report.day}: {'stored' if created else 'already stored'}.")
        if not results:
            self.stdout.write("No report is missing.")
