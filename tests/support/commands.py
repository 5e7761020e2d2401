"""`manage.py` commands in a process of their own, with the environment of the tests."""

import os
import subprocess
import sys

from tests.support import ROOT
from tests.support.servers import ENVIRONMENT


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `manage.py` with stderr merged into stdout."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run `manage.py` and return its exit status and output."""
    process = start(*arguments, **environment)
    output = process.communicate(timeout=60)[0]
    return process.returncode, output
