"""The role of this process."""

import sys
from pathlib import Path
from typing import Literal

Role = Literal["web", "worker", "beat"]


def role() -> Role | None:
    """`worker` or `beat` of Celery, None for a management command, `web` for any other program.

    It is read from the command line, because a command started by `kubectl exec` has the environment of the server.
    """
    program = Path(sys.argv[0])
    if "celery" in (program.name, program.parent.name):
        return "worker" if "worker" in sys.argv else "beat" if "beat" in sys.argv else None
    is_command = program.name in ("manage.py", "django-admin") or program.parent.name in ("django", "pytest")
    return None if is_command else "web"
