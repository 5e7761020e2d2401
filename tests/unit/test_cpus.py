"""The container's CPU limit, as cgroup v2 and v1 write it."""

import os
from pathlib import Path

import pytest
from mainstay.cpus import available_cpus

MACHINE = 8


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MACHINE)), raising=False)


@pytest.mark.parametrize(
    ("limit", "cpus"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("max 100000", MACHINE),
        ("9900000 100000", MACHINE),
        ("junk", MACHINE),
    ],
)
def test_cgroup_v2_limit_is_rounded_up(tmp_path: Path, limit: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(limit + "\n")

    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("300000", 3), ("10000", 1), ("-1", MACHINE)])
def test_cgroup_v1_limit_is_rounded_up(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")

    assert available_cpus(tmp_path) == cpus


def test_without_a_limit_every_processor_of_the_machine_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == MACHINE
