"""A run of the whole service, seen from outside."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from devserver import postgres, valkey
from tests.support import ROOT, servers
from tests.support.processes import wait_until


@dataclass(frozen=True)
class Service:
    """A run of the service; what it says goes to the file `output`, mails too."""

    url: str
    data: Path
    output: Path

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """What in the output matches; AssertionError when nothing does in time."""
        try:
            return wait_until(lambda: re.search(pattern, self.said(), re.DOTALL))
        except AssertionError as error:
            error.add_note(f"no {pattern!r} in what ends with:\n{self.said()[-5000:]}")
            raise

    def mail(self, name: str, subject: str) -> str:
        """The text of a mail to that person, once it stands in the output."""
        pattern = (
            rf"Subject: {subject}\n(?:[\w-]+: [^\n]*\n)*?To: {name}@example\.com\n(?:[\w-]+: [^\n]*\n)*\n(.*?)\n-{{79}}"
        )
        return self.wait_for(pattern)[1]

    def manage(self, *command: str) -> str:
        """What `manage.py` prints, run on the database of this run."""
        database, cache = (int(self.wait_for(rf"{name} +127\.0\.0\.1:(\d+)")[1]) for name in ("PostgreSQL", "Valkey"))
        environment = clean_environment() | {
            "SECRET_KEY": (self.data / "secret_key").read_text(),
            "DJANGO_ALLOWED_HOSTS": "localhost",
            "DATABASE_URL": postgres.url(self.data / "postgres", database),
            "REDIS_URL": valkey.url(self.data / "valkey", cache),
        }
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def clean_environment() -> dict[str, str]:
    """Ours, without what is meant for the Django of the test process."""
    ours = {*servers.ENVIRONMENT, "PORT", "WEB_CONCURRENCY"}
    return {name: value for name, value in os.environ.items() if name not in ours}
