"""Holds a pod back until every migration of its image is applied."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mainstay import database

INTERVAL = 0.5  # seconds


class Command(BaseCommand):
    """Writes one line for each change of state. CommandError after `--timeout` seconds."""

    help = "Waits until every migration of this image is applied."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--timeout", type=float, default=600, help="seconds (600)")

    def handle(self, *args: Any, timeout: float, **options: Any) -> None:
        deadline = time.monotonic() + timeout
        written = ""
        while state := _missing():
            if state != written:
                self.stdout.write(f"Waiting: {state}.")
                self.stdout.flush()
                written = state
            if time.monotonic() > deadline:
                raise CommandError(f"Gave up after {timeout:g} s: {state}. Read the log of the migration Job.")
            time.sleep(INTERVAL)
        self.stdout.write("Every migration is applied.")


def _missing() -> str:
    """A description of what is missing, or an empty string."""
    try:
        missing = database.unapplied_migrations()
    except database.DatabaseUnavailable as error:
        return f"database: {error}"
    return database.describe(missing)
