"""Metric files keyed by a process's slot instead of its id, so that they never grow in number.

prometheus-client keeps one file a process and names it by the process id: a service that recycles its
workers fills its volume (goauthentik/authentik#25876). Here the second worker of a pool is `web-1` for ever;
whoever is started in its place goes on with its counters. Two processes never hold a slot at the same time.
"""

import os
from pathlib import Path

from prometheus_client import multiprocess, values

_slot: str | None = None


def folder() -> Path | None:
    """PROMETHEUS_MULTIPROC_DIR, or None where metrics stay in the process."""
    name = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(name) if name else None


def share(role: str | None) -> None:
    """Makes every metric that is created from now on a file of this process's slot.

    `role` is what the process is: web, worker or beat; one without a role keeps its metrics to itself. Called
    before the first metric is made; a second call changes nothing. Files of a former start are removed: the
    volume outlives its container.
    """
    if _slot is not None:
        return
    directory = folder()
    if role is None or directory is None:
        values.ValueClass = values.MutexValue
        return
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob(f"*_{role}-*.db"):
        file.unlink(missing_ok=True)
    take(f"{role}-main")
    values.ValueClass = values.MultiProcessValue(lambda: _slot)


def take(slot: str) -> None:
    """From here on this process writes to the files of `slot`; called right after a fork."""
    global _slot
    _slot = slot


def release(slot: str) -> None:
    """Removes what counts only while a process lives: the `live` gauges of the slot."""
    if folder():
        multiprocess.mark_process_dead(slot)
