"""Processes as the kernel shows them, freezing them, and waiting for conditions."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import requests

T = TypeVar("T")
TIMEOUT = 90  # seconds: far longer than any condition takes, even on a slow machine


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    """Return the state letter of a process: R running, S sleeping, T stopped, Z zombie (proc_pid_stat(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def threads(pid: int) -> int:
    """Return the number of threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process and its children with SIGSTOP, so that they accept connections and never answer; then SIGCONT."""
    family = [pid, *children(pid)]
    for member in family:
        os.kill(member, signal.SIGSTOP)
    try:
        wait_until(lambda: all(state(member) == "T" for member in family))
        yield
    finally:
        for member in family:
            os.kill(member, signal.SIGCONT)


def answers(url: str) -> bool:
    """Return whether a GET request to the URL is answered with status 200."""
    with suppress(requests.RequestException):
        return requests.get(url, timeout=30).status_code == 200
    return False


def wait_until(
    condition: Callable[[], T | None], what: str = "condition", seconds: float = TIMEOUT, pause: float = 0.02
) -> T:
    """Return the first true result of `condition`. Raises AssertionError with `what` if there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() > deadline  # read first, so that the condition is evaluated once after the deadline
        if found := condition():
            return found
        assert not late, f"timed out after {seconds:g} s waiting for: {what}"
        time.sleep(pause)
