"""`manage.py` as a process of its own, in the environment of the tests."""

import os
import subprocess
import sys

from tests.support import ROOT
from tests.support.servers import ENVIRONMENT


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    """Its exit code and what it said."""
    process = start(*arguments, **environment)
    output = process.communicate(timeout=60)[0]
    return process.returncode, output
