"""Metrics that stay right while workers come and go."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
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
def exporter(folder: Path) -> Iterator[str]:
    """The URL of an exporter over the folder."""
    port = free_port()

    environment = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
        "METRICS_PORT": str(port),
        "METRICS_HOST": "127.0.0.1",
    }
    child = Child(
        name="Exporter", process=spawn([sys.executable, "-m", "mainstay.metrics.exporter"], cwd=ROOT, env=environment)
    )
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        processes.wait_until(lambda: processes.answers(url))
        yield url
    finally:
        child.stop()
    assert child.process.returncode == 0


def samples(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = requests.get(url, timeout=30).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(url: str, name: str, **labels: str) -> float:
    return samples(url).get((name, frozenset(labels.items())), 0)


def weights(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.glob("*.db")}


class Load:
    """Requests from several clients, each answered with 200 or asked again; can be held between two requests."""

    def __init__(self, service: Gunicorn, total: int) -> None:
        self.host = urlsplit(service.url).netloc
        self.left = total
        self.done = 0
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        self.under_way = 0

    def client(self) -> None:
        while True:
            self.gate.wait()
            with self.lock:
                if not self.gate.is_set():
                    continue
                if not self.left:
                    return
                self.left -= 1
                self.under_way += 1
            try:
                self.request()
            finally:
                with self.lock:
                    self.under_way -= 1
                    self.done += 1

    def request(self) -> None:
        connection = HTTPConnection(self.host, timeout=30)
        connection.request("GET", "/", headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
        connection.close()
        assert response.status == 200

    @contextmanager
    def held(self) -> Iterator[None]:
        """No request is under way."""
        self.gate.clear()
        try:
            processes.wait_until(lambda: not self.under_way)
            yield
        finally:
            self.gate.set()


def test_counters_are_exact_while_workers_are_killed_and_recycled(tmp_path: Path) -> None:
    with (
        gunicorn(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_CONCURRENCY="4", GUNICORN_THREADS="2") as service,
        exporter(tmp_path) as url,
    ):
        # given every worker has begun, and some have answered
        master = service.process.pid
        name, labels = (
            "django_http_responses_total_by_status_view_method_total",
            {"status": "200", "view": "home", "method": "GET"},
        )
        first = Load(service, 200)
        clients(first)
        processes.wait_until(lambda: value(url, "http_threads") == 4 * 2)
        before, seen = weights(tmp_path), set(processes.children(master))

        # when workers end under load: half of them gently, in the middle of it, and half at once, between requests
        load = Load(service, REQUESTS - 200)
        with ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(load.client) for _ in range(CLIENTS)]
            for number in range(KILLS):
                goal = (number + 1) * (REQUESTS - 200) // (KILLS + 1)
                processes.wait_until(partial(has_come_to, load, goal))
                victim = processes.children(master)[number % 4]
                with load.held() if number % 2 else nullcontext():
                    os.kill(victim, signal.SIGKILL if number % 2 else signal.SIGTERM)
                    processes.wait_until(partial(has_ended, victim, master))
                processes.wait_until(lambda: len(processes.children(master)) == 4)
                seen |= set(processes.children(master))
            for each in running:
                each.result()

        # then nothing is lost, nothing is counted twice, and no file has come or grown
        assert len(seen) >= 4 + KILLS
        assert value(url, name, **labels) == REQUESTS
        assert value(url, "django_http_requests_before_middlewares_total") == REQUESTS
        # once the last worker has begun and the last request has ended
        processes.wait_until(lambda: value(url, "http_threads") == 4 * 2)
        processes.wait_until(lambda: value(url, "http_requests_in_progress") == 0)
        assert weights(tmp_path) == before
        processes.wait_until(lambda: scrape_seconds(url) < 0.05)


def has_come_to(load: Load, goal: int) -> bool:
    return load.done >= goal


def has_ended(worker: int, master: int) -> bool:
    return worker not in processes.children(master)


def clients(load: Load) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        for each in [pool.submit(load.client) for _ in range(CLIENTS)]:
            each.result()


def scrape_seconds(url: str) -> float:
    """The quickest of five: the machine may be busy, the exporter is not."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        assert requests.get(url, timeout=30).status_code == 200
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def test_an_invented_method_adds_no_series(tmp_path: Path) -> None:
    with gunicorn(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_CONCURRENCY="1") as service, exporter(tmp_path) as url:
        requests.get(service.url, timeout=30)
        before = set(samples(url))

        statuses = [requests.request(f"BREW{number}", service.url, timeout=30).status_code for number in range(3)]

        assert statuses == [501] * 3
        assert set(samples(url)) == before
        assert value(url, "django_http_requests_before_middlewares_total") == 1


def test_what_we_add_is_measured(tmp_path: Path) -> None:
    with (
        gunicorn(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_CONCURRENCY="2", GUNICORN_THREADS="3") as service,
        exporter(tmp_path) as url,
    ):
        began = int(time.time()) - 2
        requests.get(service.url, headers={"X-Request-Start": f"t={began}"}, timeout=30)
        requests.get(service.url, headers={"X-Request-Start": "t=nonsense"}, timeout=30)

        assert value(url, "http_threads") == 6
        assert value(url, "http_request_queue_seconds_count") == 1
        assert value(url, "http_request_queue_seconds_bucket", le="1.0") == 0
        assert 2 <= value(url, "http_request_queue_seconds_sum") <= time.time() - began


def test_a_start_begins_with_new_counters_and_leaves_other_roles_alone(tmp_path: Path) -> None:
    (tmp_path / "counter_web-7.db").write_bytes(b"\x08\0\0\0" + bytes(60))
    (tmp_path / "counter_worker-0.db").write_bytes(b"\x08\0\0\0" + bytes(60))

    with gunicorn(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), WEB_CONCURRENCY="1"):
        names = weights(tmp_path).keys()

    assert "counter_web-7.db" not in names
    assert "counter_worker-0.db" in names


def test_a_command_beside_the_server_adds_no_file(tmp_path: Path) -> None:
    assert commands.run("check", PROMETHEUS_MULTIPROC_DIR=str(tmp_path))[0] == 0

    assert list(tmp_path.iterdir()) == []


def test_promtool_finds_nothing_to_complain_of(tmp_path: Path) -> None:
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

    # the names that django-prometheus has had for ever, and public dashboards use
    ours = [line for line in (result.stdout + result.stderr).splitlines() if not line.startswith("django_")]
    assert ours == []


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PROMETHEUS_MULTIPROC_DIR": "/nowhere"}, "PROMETHEUS_MULTIPROC_DIR is not a directory."),
        ({"METRICS_PORT": "many"}, "METRICS_PORT is not a port number."),
    ],
)
def test_an_exporter_half_configured_names_the_variable(environment: dict[str, str], message: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mainstay.metrics.exporter"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stderr.startswith(message)) == (1, True)


def test_a_scraper_that_goes_away_does_not_end_the_exporter(tmp_path: Path) -> None:
    with exporter(tmp_path) as url:
        broken = HTTPConnection(urlsplit(url).netloc, timeout=30)
        broken.request("GET", "/metrics")
        broken.close()

        assert requests.get(url, timeout=30).status_code == 200
