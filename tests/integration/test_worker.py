"""A real Celery worker and a real Beat over the tests' servers."""

import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from mainstay.celery.heartbeat import measure_queue
from prometheus_client import REGISTRY

from devserver.process import Child, Server, spawn
from mainstay import request_id
from service.accounts.models import Mail, Profile, User
from service.accounts.tasks import STALE_AFTER, send_password_reset_email, send_pending_mail, send_welcome_email
from service.celery import app
from service.reports.models import DailyReport
from tests.integration.test_metrics import exporter, value
from tests.support import ROOT, processes
from tests.support.gunicorn import database_url
from tests.support.servers import DATA, ENVIRONMENT
from tests.support.tasks import Queue

FAREWELL = ("", "worker: Warm shutdown (MainProcess)")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_queue(valkey_server: object) -> Iterator[None]:
    app.control.purge()
    yield
    app.control.purge()


@contextmanager
def celery(*command: str, **environment: str) -> Iterator[Child]:
    """`celery -A service COMMAND` over the test's database; it ends with status 0 on SIGTERM."""
    log = DATA / f"celery-{command[0]}-{time.monotonic_ns()}.log"
    process = spawn(
        [sys.executable, "-m", "celery", "-A", "service", "--quiet", *command],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT | {"DATABASE_URL": database_url()} | environment,
        log=log,
    )
    child = Child(name="Celery", process=process, log=log, stop_timeout=30)
    try:
        yield child
    finally:
        child.stop()
    assert process.returncode == 0, child.log_tail()


def events(log: Path) -> list[dict[str, object]]:
    """Every line of the log; each has to be JSON, but for what Celery says to stderr at its end."""
    return [json.loads(line) for line in log.read_text().splitlines() if line not in FAREWELL]


# What Beat sends at its start, and what the worker says once it is done.
DONE = {"generate_daily_report": "daily_report_generated", "cleanup_expired_sessions": "expired_sessions_removed"}


def said(log: Path, event: str) -> int:
    return log.read_text().count(event)


def await_more(log: Path, event: str, than: int) -> None:
    processes.wait_until(lambda: said(log, event) > than)


def person(name: str) -> User:
    user = User.objects.create_user(name, f"{name}@example.org", "korrekt pferd 9")
    Profile.objects.create(user=user)
    Mail.objects.create(user=user, kind=Mail.Kind.WELCOME)
    return user


def state_of(user: User) -> str:
    return Mail.objects.get(user=user).state


def test_a_worker_does_a_task_and_its_log_is_json_with_the_request_s_id(tmp_path: Path) -> None:
    heartbeat = tmp_path / "heartbeat"
    user = person("ada")
    with celery("worker", "--concurrency", "2", HEARTBEAT_FILE=str(heartbeat), EMAIL_URL="dummymail://") as worker:
        with request_id.bound("request-of-ada"):
            send_welcome_email.delay(user.pk)
        processes.wait_until(lambda: state_of(user) == Mail.State.SENT)
        # a heartbeat that goes on
        processes.wait_until(heartbeat.exists)
        first = heartbeat.stat().st_mtime
        processes.wait_until(lambda: heartbeat.stat().st_mtime > first)

    assert worker.log
    sent = [event for event in events(worker.log) if event["event"] == "mail_sent"]
    assert [(event["user_id"], event["request_id"], event["task"]) for event in sent] == [
        (user.pk, "request-of-ada", send_welcome_email.name)
    ]
    assert "example.org" not in worker.log.read_text()


def test_a_task_whose_process_is_killed_runs_again_and_is_done_once() -> None:
    # given a worker whose one process is busy: the mail server accepts the connection and says nothing
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"smtp://127.0.0.1:{silent.getsockname()[1]}"
        user = person("grace")
        with celery("worker", "--concurrency", "1", EMAIL_URL=url) as worker:
            send_welcome_email.delay(user.pk)
            silent.settimeout(processes.TIMEOUT)
            conversation, _ = silent.accept()

            # when that process is killed in the middle of the task
            (pool,) = processes.children(worker.process.pid)
            os.kill(pool, signal.SIGKILL)
            conversation.close()

            # then the task comes back, finds its mail claimed and sends it no second time
            log = worker.log
            assert log
            processes.wait_until(lambda: "mail_skipped" in log.read_text())
            silent.settimeout(0.2)
            with pytest.raises(TimeoutError):
                silent.accept()
    assert state_of(user) == Mail.State.SENDING


def test_a_task_is_tried_again_when_the_database_is_back(postgres_server: Server) -> None:
    user = person("ada")
    with celery("worker", "--concurrency", "1", EMAIL_URL="dummymail://") as worker:
        assert worker.log
        log = worker.log
        # given a database that does not answer when the task begins
        with processes.frozen(postgres_server.process.pid):
            send_welcome_email.delay(user.pk)
            processes.wait_until(lambda: "Retry in 5s" in log.read_text())

        processes.wait_until(lambda: state_of(user) == Mail.State.SENT)


def test_a_reset_behind_a_stale_look_for_forgotten_mail_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a queue that nobody has emptied for longer than a mail is waited for
    reset = Mail.objects.create(user=person("hedy"), kind=Mail.Kind.PASSWORD_RESET)
    longer = STALE_AFTER + timedelta(seconds=1)
    with monkeypatch.context() as patch:
        patch.setattr(app, "now", lambda: datetime.now(UTC) - longer)
        send_pending_mail.delay()
    send_password_reset_email.delay(reset.pk, "http://testserver")
    Mail.objects.update(changed_at=timezone.now() - longer)

    with celery("worker", "--concurrency", "1", EMAIL_URL="dummymail://"):
        done = Mail.objects.filter(pk=reset.pk, state__in=[Mail.State.SENT, Mail.State.FAILED])
        processes.wait_until(done.exists)

    assert done.get().state == Mail.State.SENT


def test_tasks_are_measured_by_slot_and_the_queue_by_its_oldest_task(tmp_path: Path) -> None:
    # given a queue in which two tasks wait
    users = [person("mary"), person("joan")]
    for user in users:
        send_welcome_email.delay(user.pk)
    measure_queue(app)
    assert REGISTRY.get_sample_value("celery_tasks_waiting") == 2
    assert 0 < (REGISTRY.get_sample_value("celery_oldest_task_age_seconds") or 0) < 60

    with (
        celery("worker", "--concurrency", "1", PROMETHEUS_MULTIPROC_DIR=str(tmp_path), EMAIL_URL="dummymail://"),
        exporter(tmp_path) as url,
    ):
        processes.wait_until(lambda: all(state_of(user) == Mail.State.SENT for user in users))
        labels = {"task": send_welcome_email.name}
        processes.wait_until(lambda: value(url, "celery_task_queue_seconds_count", **labels) == 2)
        processes.wait_until(
            lambda: value(url, "celery_task_duration_seconds_count", outcome="succeeded", **labels) == 2
        )
        processes.wait_until(lambda: value(url, "celery_tasks_waiting") == 0)

    names = {file.name for file in tmp_path.glob("*.db")}
    assert {"histogram_worker-1.db", "gauge_mostrecent_worker-0.db"} <= names


def test_beat_measures_the_queue_too_and_what_was_measured_last_counts(tmp_path: Path, queue: Queue) -> None:
    with exporter(tmp_path) as url:
        # given Beat alone, and what it sends at its start
        with celery("beat", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)):
            # three, and one more each minute
            processes.wait_until(lambda: 3 <= value(url, "celery_tasks_waiting") == len(queue.waiting()))
            processes.wait_until(lambda: 0 < value(url, "celery_oldest_task_age_seconds") < 60)

        # when it is gone and a worker empties the queue
        with celery("worker", "--concurrency", "1", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)):
            processes.wait_until(lambda: value(url, "celery_tasks_waiting") == 0)
        assert queue.waiting() == []


def test_beat_sends_everything_at_its_start_and_the_worker_does_it_once(tmp_path: Path) -> None:
    heartbeat = tmp_path / "heartbeat"
    with celery("worker", "--concurrency", "1") as worker:
        assert worker.log
        log = worker.log
        sent: Counter[str] = Counter()
        for _ in range(2):  # a restart of beat does no harm
            with celery("beat", HEARTBEAT_FILE=str(heartbeat)) as beat:
                assert beat.log
                for task, event in DONE.items():
                    await_more(log, event, sent[task])
                processes.wait_until(heartbeat.exists)
            heartbeat.unlink()
            # one each, and one more at the hour of the schedule
            sent.update({task: said(beat.log, f"Sending due task {task}") for task in DONE})
        assert {task: said(log, event) for task, event in DONE.items()} == sent

    made: list[Any] = [event["days"] for event in events(log) if event["event"] == "daily_report_generated"]
    assert len(made[0]) == 1
    # One report, or another of the day that ended between the two starts.
    assert [day for days in made for day in days] == [str(report.day) for report in DailyReport.objects.order_by("day")]


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_the_heart_beats_while_the_broker_is_away(tmp_path: Path, command: str) -> None:
    heartbeat = tmp_path / "heartbeat"
    with celery(command, CELERY_BROKER_URL="redis://:secret@127.0.0.1:1/0", HEARTBEAT_FILE=str(heartbeat)) as child:
        log = child.log
        assert log
        # the second failure: what follows is Celery's wait, not its start
        processes.wait_until(lambda: log.read_text().count("broker_unreachable") > 1)
        before = heartbeat.stat().st_mtime

        processes.wait_until(lambda: heartbeat.stat().st_mtime > before)

    assert "secret" not in log.read_text()
