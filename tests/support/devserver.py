"""A running development server (`make run`), as its user sees it."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT, servers
from tests.support.processes import wait_until


@dataclass(frozen=True)
class Service:
    """A running service. The file `output` contains everything that it prints, including mails."""

    url: str
    data: Path
    output: Path

    def printed(self) -> str:
        """Return the output so far."""
        return self.output.read_text(errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for a match of the regular expression in the output. Raises AssertionError if there is none in time."""
        try:
            return wait_until(lambda: re.search(pattern, self.printed(), re.DOTALL))
        except AssertionError as error:
            error.add_note(f"{pattern!r} does not match the output, which ends with:\n{self.printed()[-5000:]}")
            raise

    def mail(self, name: str, subject: str) -> str:
        """Wait for a mail to the user and return its text."""
        pattern = (
            rf"Subject: {subject}\n(?:[\w-]+: [^\n]*\n)*?To: {name}@example\.com\n(?:[\w-]+: [^\n]*\n)*\n(.*?)\n-{{79}}"
        )
        return self.wait_for(pattern)[1]

    def manage(self, *command: str) -> str:
        """Run a `manage.py` command on this service and return its output."""
        done = subprocess.run(
            ["sh", "-c", '. "$0" && exec "$@"', self.data / "environment", sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def clean_environment() -> dict[str, str]:
    """Return the environment without the variables of the test process."""
    removed = {*servers.ENVIRONMENT, "PORT", "WEB_CONCURRENCY"}
    return {name: value for name, value in os.environ.items() if name not in removed}
