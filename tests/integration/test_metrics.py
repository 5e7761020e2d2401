"""Metrics while workers are killed and replaced, and the exporter."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from devserver.process import Child, spawn
from tests.support import ROOT, commands, processes
from tests.support.gunicorn import Gunicorn, gunicorn
from tests.support.ports import free_port

pytestmark = pytest.mark.django_db(transaction=True)

REQUESTS = 5_000
KILLS = 50
CLIENTS = 4


@contextmanager
def exporter(
    directory: Path, python: str | Path = sys.executable, cwd: Path = ROOT, env: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Runs an exporter of the metric files in the directory; yields its URL."""
    port = free_port()
    environment = {
        **env,
        "PROMETHEUS_MULTIPROC_DIR": str(directory),
        "METRICS_PORT": str(port),
        "METRICS_HOST": "127.0.0.1",
    }
    process = spawn([python, "-m", "mainstay.metrics.exporter"], cwd=cwd, env=environment)
    child = Child(name="Exporter", process=process)
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        processes.wait_until(lambda: processes.answers(url))
        yield url
    finally:
        child.stop()
    assert child.process.returncode == 0


def samples(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Returns the scraped values by name and labels."""
    text = requests.get(url, timeout=30).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(url: str, name: str, **labels: str) -> float:
    """Returns a scraped value, or 0 if there is no such sample."""
    return samples(url).get((name, frozenset(labels.items())), 0)


def file_sizes(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in directory.glob("*.db")}


class Load:
    """A number of requests, sent by several clients. All must return 200. `paused` stops them between two requests."""

    def __init__(self, service: Gunicorn, total: int) -> None:
        self.host = urlsplit(service.url).netloc
        self.remaining = total
        self.done = 0
        self.lock = threading.Lock()
        self.running = threading.Event()
        self.running.set()
        self.in_progress = 0

    def client(self) -> None:
        while True:
            self.running.wait()
            with self.lock:
                if not self.running.is_set():
                    continue
                if not self.remaining:
                    return
                self.remaining -= 1
                self.in_progress += 1
            try:
                self.request()
            finally:
                with self.lock:
                    self.in_progress -= 1
                    self.done += 1

    def request(self) -> None:
        connection = HTTPConnection(self.host, timeout=30)
        connection.request("GET", "/", headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
        connection.close()
        assert response.status == 200

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Sends no requests during the block, and waits for those in progress before it."""
        self.running.clear()
        try:
            processes.wait_until(lambda: not self.in_progress)
            yield
        finally:
            self.running.set()


def test_counters_are_exact_while_workers_are_killed_and_recycled(tmp_path: Path) -> None:
    with (
        gunicorn(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_CONCURRENCY="4", GUNICORN_THREADS="2") as service,
        exporter(tmp_path) as url,
    ):
        # given four workers that have started, and 200 requests
        master = service.process.pid
        name, labels = (
            "django_http_responses_total_by_status_view_method_total",
            {"status": "200", "view": "home", "method": "GET"},
        )
        first = Load(service, 200)
        run_clients(first)
        processes.wait_until(lambda: value(url, "http_threads") == 4 * 2)
        before, seen = file_sizes(tmp_path), set(processes.children(master))

        # when workers get SIGTERM during requests and SIGKILL between requests, in turn
        load = Load(service, REQUESTS - 200)
        with ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(load.client) for _ in range(CLIENTS)]
            for number in range(KILLS):
                goal = (number + 1) * (REQUESTS - 200) // (KILLS + 1)
                processes.wait_until(partial(has_done, load, goal))
                victim = processes.children(master)[number % 4]
                with load.paused() if number % 2 else nullcontext():
                    os.kill(victim, signal.SIGKILL if number % 2 else signal.SIGTERM)
                    processes.wait_until(partial(has_ended, victim, master))
                processes.wait_until(lambda: len(processes.children(master)) == 4)
                seen |= set(processes.children(master))
            for each in running:
                each.result()

        # then each request is counted once, and no file is new or larger
        assert len(seen) >= 4 + KILLS
        assert value(url, name, **labels) == REQUESTS
        assert value(url, "django_http_requests_before_middlewares_total") == REQUESTS
        # the gauges follow when the last worker has started and the last request has ended
        processes.wait_until(lambda: value(url, "http_threads") == 4 * 2)
        processes.wait_until(lambda: value(url, "http_requests_in_progress") == 0)
        assert file_sizes(tmp_path) == before
        processes.wait_until(lambda: scrape_seconds(url) < 0.05)


def has_done(load: Load, goal: int) -> bool:
    return load.done >= goal


def has_ended(worker: int, master: int) -> bool:
    return worker not in processes.children(master)


def run_clients(load: Load) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        for each in [pool.submit(load.client) for _ in range(CLIENTS)]:
            each.result()


def scrape_seconds(url: str) -> float:
    """Returns the fastest of five scrapes, because other load on the machine can delay a single one."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        assert requests.get(url, timeout=30).status_code == 200
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def test_unknown_method_adds_no_series(tmp_path: Path) -> None:
    with gunicorn(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_CONCURRENCY="1") as service, exporter(tmp_path) as url:
        requests.get(service.url, timeout=30)
        before = set(samples(url))

        statuses = [requests.request(f"BREW{number}", service.url, timeout=30).status_code for number in range(3)]

        assert statuses == [501] * 3
        assert set(samples(url)) == before
        assert value(url, "django_http_requests_before_middlewares_total") == 1


def test_threads_and_queue_time_are_measured(tmp_path: Path) -> None:
    with (
        gunicorn(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_CONCURRENCY="2", GUNICORN_THREADS="3") as service,
        exporter(tmp_path) as url,
    ):
        request_start = int(time.time()) - 2
        requests.get(service.url, headers={"X-Request-Start": f"t={request_start}"}, timeout=30)
        requests.get(service.url, headers={"X-Request-Start": "t=nonsense"}, timeout=30)

        assert value(url, "http_threads") == 6
        assert value(url, "http_request_queue_seconds_count") == 1
        assert value(url, "http_request_queue_seconds_bucket", le="1.0") == 0
        assert 2 <= value(url, "http_request_queue_seconds_sum") <= time.time() - request_start


def test_start_removes_the_metric_files_of_its_own_role_only(tmp_path: Path) -> None:
    (tmp_path / "counter_web-7.db").write_bytes(b"\x08\0\0\0" + bytes(60))
    (tmp_path / "counter_worker-0.db").write_bytes(b"\x08\0\0\0" + bytes(60))

    with gunicorn(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_CONCURRENCY="1"):
        names = file_sizes(tmp_path).keys()

    assert "counter_web-7.db" not in names
    assert "counter_worker-0.db" in names


def test_management_command_writes_no_metric_file(tmp_path: Path) -> None:
    assert commands.run("check", PROMETHEUS_MULTIPROC_DIR=str(tmp_path))[0] == 0

    assert list(tmp_path.iterdir()) == []


def test_promtool_reports_no_problem(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; .ci/run installs it")
    with gunicorn(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_CONCURRENCY="1") as service, exporter(tmp_path) as url:
        requests.get(service.url, timeout=30)

        result = subprocess.run(
            [promtool, "check", "metrics"],
            input=requests.get(url, timeout=30).text,
            capture_output=True,
            text=True,
            check=False,
        )

    # promtool reports some names of django-prometheus, which public dashboards need
    problems = [line for line in (result.stdout + result.stderr).splitlines() if not line.startswith("django_")]
    assert problems == []


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PROMETHEUS_MULTIPROC_DIR": "/nowhere"}, "PROMETHEUS_MULTIPROC_DIR is not a directory."),
        ({"METRICS_PORT": "many"}, "METRICS_PORT is not a port number."),
    ],
)
def test_exporter_names_a_malformed_variable(environment: dict[str, str], message: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mainstay.metrics.exporter"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stderr.startswith(message)) == (1, True)


def test_exporter_survives_a_disconnected_client(tmp_path: Path) -> None:
    with exporter(tmp_path) as url:
        broken = HTTPConnection(urlsplit(url).netloc, timeout=30)
        broken.request("GET", "/metrics")
        broken.close()

        assert requests.get(url, timeout=30).status_code == 200
