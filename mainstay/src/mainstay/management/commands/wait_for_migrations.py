"""Holds a pod back until the database's schema is at least the image's."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from health_check.exceptions import ServiceUnavailable

from mainstay import health


class Command(BaseCommand):
    """One process, one line a change of state, until it is so; CommandError after `--timeout` seconds."""

    help = "Waits until every migration of this image is applied."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--timeout", type=float, default=600, help="seconds (600)")

    def handle(self, *args: Any, timeout: float, **options: Any) -> None:
        deadline = time.monotonic() + timeout
        said = ""
        while state := self._missing():
            if state != said:
                self.stdout.write(f"Waiting: {state}.")
                self.stdout.flush()
                said = state
            if time.monotonic() > deadline:
                raise CommandError(f"Gave up after {timeout:g} s: {state}. Read the log of the migration Job.")
            time.sleep(0.5)
        self.stdout.write("The schema is at the image's.")

    def _missing(self) -> str:
        """What is missing, or nothing."""
        try:
            return health.missing_migrations()
        except ServiceUnavailable as error:
            return f"the database: {error.message}"
