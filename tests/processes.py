"""Other processes as the kernel sees them: frozen, counted, awaited."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


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


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Returns when the condition holds; AssertionError after that many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.02)
