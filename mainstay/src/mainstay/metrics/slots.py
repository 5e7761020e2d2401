"""Metric files keyed by slot instead of process id, so that their number is bounded.

prometheus-client keeps its files by process id: a server that recycles its workers fills the volume
(goauthentik/authentik#25876). Here each process holds the lowest free slot of its role: `web-0`, `web-1`, and so on.
A process that replaces another continues the counters of its slot. Two processes never hold the same slot: a file
lock guards it, and the kernel releases the lock when the process ends, however it ends.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

from prometheus_client import multiprocess, values

from mainstay import process

_initialised = False
_role: str | None = None
_slot = ""  # empty in a forked process until its first metric
_slot_file: IO[str] | None = None
_claiming = threading.Lock()


def init() -> None:
    """Chooses where the metrics of this process are kept. Call it before the first metric is created.

    With PROMETHEUS_MULTIPROC_DIR a server keeps them in files of its slot, and so does each process forked from it.
    A management command keeps them in memory. A second call changes nothing.
    """
    global _role, _initialised
    if _initialised:
        return
    _initialised = True
    if (directory := _directory()) is None or (role := process.role()) is None:
        values.ValueClass = values.MutexValue
        return
    _role = role
    directory.mkdir(parents=True, exist_ok=True)
    with _guard(directory):
        # The volume survives a restart of its container: the first process removes the files of the previous run.
        if not any(_is_held(file) for file in directory.glob(f"{role}-*.lock")):
            for file in directory.glob(f"*{role}-*"):
                file.unlink(missing_ok=True)
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_leave)
    values.ValueClass = values.MultiProcessValue(lambda: _slot or _claim())


def release_dead(directory: Path) -> None:
    """Removes the gauges of mode `live…` of each slot that no process holds."""
    with _guard(directory):
        for file in directory.glob("*.lock"):
            if not _is_held(file):
                multiprocess.mark_process_dead(file.stem, str(directory))


def _directory() -> Path | None:
    name = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(name) if name else None


def _hold() -> None:
    """Lets no thread claim a slot during a fork: the child would have a copy of its lock."""
    _claiming.acquire()


def _release() -> None:
    _claiming.release()


def _leave() -> None:
    """Runs in the child after a fork: the slot remains the parent's."""
    global _slot, _slot_file, _claiming
    if _slot_file:
        _slot_file.close()
    _slot, _slot_file, _claiming = "", None, threading.Lock()


def _claim() -> str:
    """Claims the lowest free slot for this process."""
    global _slot, _slot_file
    directory = _directory()
    assert directory
    with _claiming, _guard(directory):
        for number in count():
            if _slot:
                break  # another thread was faster
            file = (directory / f"{_role}-{number}.lock").open("w")
            if _try(file):
                multiprocess.mark_process_dead(f"{_role}-{number}", str(directory))
                _slot, _slot_file = f"{_role}-{number}", file
            else:
                file.close()
    return _slot


@contextmanager
def _guard(directory: Path) -> Iterator[None]:
    """Holds a file lock, so that one process at a time inspects or claims slots."""
    with (directory / "guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(guard, fcntl.LOCK_UN)  # a process that was forked meanwhile has a copy of the file


def _is_held(file: Path) -> bool:
    with file.open("w") as lock:
        return not _try(lock)


def _try(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
