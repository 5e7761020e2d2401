"""Other processes as the kernel sees them: frozen, counted, awaited."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import requests

T = TypeVar("T")
PATIENCE = 90  # seconds: many times what anything takes, on a slow machine too


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    """One letter: R runs, S sleeps, T is stopped, Z is dead and not yet reaped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process and its children accept connections and never answer: SIGSTOP, and SIGCONT at the end."""
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
    """With 200."""
    with suppress(requests.RequestException):
        return requests.get(url, timeout=30).status_code == 200
    return False


def wait_until(
    condition: Callable[[], T | None], what: str = "so", seconds: float = PATIENCE, pause: float = 0.02
) -> T:
    """The condition's first true answer; AssertionError when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() > deadline  # before the question, so that a pause of the machine is no failure
        if found := condition():
            return found
        assert not late, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
