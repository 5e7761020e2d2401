"""What the programs of this package say to whoever started them."""

import sys
from contextlib import suppress
from typing import TextIO


def say(part: str, text: str) -> None:
    """A line about a part of the service."""
    _write(sys.stdout, f"{part:<11} {text}")


def complain(text: object) -> None:
    """Why nothing runs."""
    _write(sys.stderr, str(text))


def _write(stream: TextIO, line: str) -> None:
    with suppress(OSError):  # The terminal may be gone, and what is left to do is done all the same.
        stream.write(f"{line}\n")
        stream.flush()
