"""`make bench-overhead`: CPU time of a request through our stack and through Django alone.

Two processes answer the same pages in turns, by direct calls of the WSGI application: one with `service.settings`
behind `mainstay.wsgi`, one with the middleware, static files storage and logging that `startproject` makes. Prints a
line for each page, and exits with 1 if a ratio is over the goal.
"""

import os
import statistics
import subprocess
import sys
import tempfile

from tests.bench.stack import PAGES
from tests.support import ROOT, servers

GOAL = 1.15
WARM_UP, ROUNDS = 20, 200
STACKS = {"ours": "service.settings", "django": "tests.bench.plain_settings"}


def main() -> int:
    with tempfile.TemporaryDirectory() as metrics:
        stacks = {name: start(settings, metrics) for name, settings in STACKS.items()}
        missed = [page for page in PAGES if compare(page, stacks) > GOAL]
        for stack in stacks.values():
            stack.communicate()
    return 1 if missed else 0


def start(settings: str, metrics: str) -> subprocess.Popen[str]:
    """A process that measures each round that is written to it."""
    environment = {"DJANGO_SETTINGS_MODULE": settings, "PROMETHEUS_MULTIPROC_DIR": metrics}
    log = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.stack"],
        cwd=ROOT,
        env=os.environ | servers.ENVIRONMENT | environment,
        stdin=subprocess.PIPE,
        stdout=log.stdin,  # as in a pod, the log goes to a pipe
        stderr=subprocess.PIPE,
        text=True,
    )


def compare(page: str, stacks: dict[str, subprocess.Popen[str]]) -> float:
    """The median of the ratios of all rounds. The stacks take turns, and who begins alternates."""
    times: dict[str, list[float]] = {name: [] for name in STACKS}
    for number in range(WARM_UP + ROUNDS):
        for name in sorted(STACKS, reverse=bool(number % 2)):
            times[name].append(measure(stacks[name], page, number))
    times = {name: each[WARM_UP:] for name, each in times.items()}
    ratios = [ours / django for ours, django in zip(times["ours"], times["django"], strict=True)]
    ratio, (low, *_, high) = statistics.median(ratios), statistics.quantiles(ratios, n=20)
    ours, django = (statistics.median(times[name]) for name in STACKS)
    print(
        f"{page} {ratio:.2f}x  (5 to 95 % of {ROUNDS} rounds: {low:.2f} to {high:.2f}; {ours:.0f} and {django:.0f} µs)",
        flush=True,
    )
    return ratio


def measure(stack: subprocess.Popen[str], page: str, number: int) -> float:
    """The mean CPU time of a request of a round, in µs."""
    assert stack.stdin
    assert stack.stderr
    stack.stdin.write(f"{page} {number}\n")
    stack.stdin.flush()
    return float(stack.stderr.readline())


if __name__ == "__main__":
    sys.exit(main())
