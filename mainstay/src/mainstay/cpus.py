"""How many processors this container may use."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = CGROUP) -> int:
    """The container's CPU limit rounded up, else the processors of the machine; at least 1.

    Reads cgroup v2 (`cpu.max`: quota and period in µs, or `max`) and v1 (`cpu.cfs_quota_us`, -1 for none).
    """
    machine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = _v2(cgroup) or _v1(cgroup) or (0, 1)
    return max(1, min(machine, math.ceil(quota / period)) if quota > 0 else machine)


def _v2(cgroup: Path) -> tuple[int, int] | None:
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return (int(quota), int(period)) if quota.isdecimal() else None


def _v1(cgroup: Path) -> tuple[int, int] | None:
    try:
        quota = int((cgroup / "cpu/cpu.cfs_quota_us").read_text())
        period = int((cgroup / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota, period
