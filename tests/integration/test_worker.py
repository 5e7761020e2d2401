"""A real Celery worker and a real Beat, with the servers of the tests."""

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
from celery.beat import SchedulingError
from django.utils import timezone
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from devserver.process import Child, Server, spawn
from mainstay import request_id
from mainstay.celery.beat import Scheduler
from mainstay.celery.heartbeat import beat_and_measure, measure_queue
from service.accounts.models import Mail, Profile, User
from service.accounts.tasks import STALE_AFTER, send_password_reset_email, send_pending_mail, send_welcome_email
from service.celery import app
from service.reports.models import DailyReport
from tests.integration.test_metrics import exporter, value
from tests.support import ROOT, processes
from tests.support.gunicorn import database_url
from tests.support.servers import DATA, ENVIRONMENT
from tests.support.tasks import Queue

SHUTDOWN_LINES = ("", "worker: Warm shutdown (MainProcess)")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_queue(valkey_server: object) -> Iterator[None]:
    app.control.purge()
    yield
    app.control.purge()


@contextmanager
def celery(*command: str, **environment: str) -> Iterator[Child]:
    """Runs `celery -A service COMMAND` on the test database. It must exit with status 0 on SIGTERM."""
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
    """Returns the events of the log. Each line must be JSON, except those that Celery writes to stderr at shutdown."""
    return [json.loads(line) for line in log.read_text().splitlines() if line not in SHUTDOWN_LINES]


# The daily tasks, and the events that the worker logs when they are done.
DAILY_TASKS = {
    "generate_daily_report": "daily_report_generated",
    "cleanup_expired_sessions": "expired_sessions_removed",
}


def count(log: Path, text: str) -> int:
    return log.read_text().count(text)


def wait_for_more(log: Path, event: str, before: int) -> None:
    processes.wait_until(lambda: count(log, event) > before)


def create_user(name: str) -> User:
    """Creates a user with a profile and a pending welcome mail."""
    user = User.objects.create_user(name, f"{name}@example.org", "korrekt pferd 9")
    Profile.objects.create(user=user)
    Mail.objects.create(user=user, kind=Mail.Kind.WELCOME)
    return user


def mail_state(user: User) -> str:
    return Mail.objects.get(user=user).state


def test_worker_runs_a_task_and_logs_json_with_the_request_id(tmp_path: Path) -> None:
    heartbeat = tmp_path / "heartbeat"
    user = create_user("ada")
    with celery("worker", "--concurrency", "2", HEARTBEAT_FILE=str(heartbeat), EMAIL_URL="dummymail://") as worker:
        with request_id.bound("request-of-ada"):
            send_welcome_email.delay(user.pk)
        processes.wait_until(lambda: mail_state(user) == Mail.State.SENT)
        # the heartbeat continues
        processes.wait_until(heartbeat.exists)
        first = heartbeat.stat().st_mtime
        processes.wait_until(lambda: heartbeat.stat().st_mtime > first)

    assert worker.log
    sent = [event for event in events(worker.log) if event["event"] == "mail_sent"]
    assert [(event["user_id"], event["request_id"], event["task"]) for event in sent] == [
        (user.pk, "request-of-ada", send_welcome_email.name)
    ]
    assert "example.org" not in worker.log.read_text()


def test_killed_task_runs_again_and_sends_no_second_mail() -> None:
    # given a worker process that waits for a mail server, which accepts the connection and does not respond
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"smtp://127.0.0.1:{silent.getsockname()[1]}"
        user = create_user("grace")
        with celery("worker", "--concurrency", "1", EMAIL_URL=url) as worker:
            send_welcome_email.delay(user.pk)
            silent.settimeout(processes.TIMEOUT)
            conversation, _ = silent.accept()

            # when the process is killed
            (child,) = processes.children(worker.process.pid)
            os.kill(child, signal.SIGKILL)
            conversation.close()

            # then the task runs again, finds that its mail is claimed, and opens no second connection
            log = worker.log
            assert log
            processes.wait_until(lambda: "mail_skipped" in log.read_text())
            silent.settimeout(0.2)
            with pytest.raises(TimeoutError):
                silent.accept()
    assert mail_state(user) == Mail.State.SENDING


def test_task_is_retried_after_a_database_failure(postgres_server: Server) -> None:
    user = create_user("ada")
    with celery("worker", "--concurrency", "1", EMAIL_URL="dummymail://") as worker:
        assert worker.log
        log = worker.log
        # given a database that does not respond when the task starts
        with processes.frozen(postgres_server.process.pid):
            send_welcome_email.delay(user.pk)
            processes.wait_until(lambda: "Retry in 5s" in log.read_text())

        processes.wait_until(lambda: mail_state(user) == Mail.State.SENT)


def test_password_reset_in_a_backlog_is_still_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a backlog that is older than STALE_AFTER
    reset = Mail.objects.create(user=create_user("hedy"), kind=Mail.Kind.PASSWORD_RESET)
    age = STALE_AFTER + timedelta(seconds=1)
    with monkeypatch.context() as patch:
        patch.setattr(app, "now", lambda: datetime.now(UTC) - age)
        send_pending_mail.delay()
    send_password_reset_email.delay(reset.pk, "http://testserver")
    Mail.objects.update(changed_at=timezone.now() - age)

    with celery("worker", "--concurrency", "1", EMAIL_URL="dummymail://"):
        finished = Mail.objects.filter(pk=reset.pk, state__in=[Mail.State.SENT, Mail.State.FAILED])
        processes.wait_until(finished.exists)

    assert finished.get().state == Mail.State.SENT


def test_worker_measures_tasks_and_the_queue(tmp_path: Path) -> None:
    # given two waiting tasks
    users = [create_user("mary"), create_user("joan")]
    for user in users:
        send_welcome_email.delay(user.pk)
    measure_queue(app)
    assert REGISTRY.get_sample_value("celery_tasks_waiting") == 2
    assert 0 < (REGISTRY.get_sample_value("celery_oldest_task_age_seconds") or 0) < 60

    with (
        celery("worker", "--concurrency", "1", PROMETHEUS_MULTIPROC_DIR=str(tmp_path), EMAIL_URL="dummymail://"),
        exporter(tmp_path) as url,
    ):
        processes.wait_until(lambda: all(mail_state(user) == Mail.State.SENT for user in users))
        labels = {"task": send_welcome_email.name}
        processes.wait_until(lambda: value(url, "celery_task_queue_seconds_count", **labels) == 2)
        processes.wait_until(
            lambda: value(url, "celery_task_duration_seconds_count", outcome="succeeded", **labels) == 2
        )
        processes.wait_until(lambda: value(url, "celery_tasks_waiting") == 0)

    names = {file.name for file in tmp_path.glob("*.db")}
    assert {"histogram_worker-1.db", "gauge_mostrecent_worker-0.db"} <= names


def test_beat_measures_the_queue_and_the_latest_measurement_counts(tmp_path: Path, queue: Queue) -> None:
    with exporter(tmp_path) as url:
        # given Beat without a worker, and the tasks that it sends at its start
        with celery("beat", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)):
            # three tasks at first, and one more each minute
            processes.wait_until(lambda: 3 <= value(url, "celery_tasks_waiting") == len(queue.waiting()))
            processes.wait_until(lambda: 0 < value(url, "celery_oldest_task_age_seconds") < 60)

        # when Beat has stopped and a worker empties the queue
        with celery("worker", "--concurrency", "1", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)):
            processes.wait_until(lambda: value(url, "celery_tasks_waiting") == 0)
        assert queue.waiting() == []


def test_beat_sends_every_task_at_its_start_and_the_worker_runs_each_once(tmp_path: Path) -> None:
    heartbeat = tmp_path / "heartbeat"
    with celery("worker", "--concurrency", "1") as worker:
        assert worker.log
        log = worker.log
        sent: Counter[str] = Counter()
        for _ in range(2):  # a restart of Beat does no harm
            with celery("beat", HEARTBEAT_FILE=str(heartbeat)) as beat:
                assert beat.log
                for task, event in DAILY_TASKS.items():
                    wait_for_more(log, event, sent[task])
                processes.wait_until(heartbeat.exists)
            heartbeat.unlink()
            # one each, or two if the test runs at the scheduled hour
            sent.update({task: count(beat.log, f"Sending due task {task}") for task in DAILY_TASKS})
        assert {task: count(log, event) for task, event in DAILY_TASKS.items()} == sent

    generated: list[Any] = [event["days"] for event in events(log) if event["event"] == "daily_report_generated"]
    assert len(generated[0]) == 1
    # One report, or two if midnight passed between the two starts.
    assert [day for days in generated for day in days] == [
        str(report.day) for report in DailyReport.objects.order_by("day")
    ]


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_heartbeat_continues_while_the_broker_is_down(tmp_path: Path, command: str) -> None:
    heartbeat = tmp_path / "heartbeat"
    with celery(command, CELERY_BROKER_URL="redis://:secret@127.0.0.1:1/0", HEARTBEAT_FILE=str(heartbeat)) as child:
        log = child.log
        assert log
        # from the second failure on, Celery waits for the broker
        processes.wait_until(lambda: log.read_text().count("broker_unreachable") > 1)
        before = heartbeat.stat().st_mtime

        processes.wait_until(lambda: heartbeat.stat().st_mtime > before)

    assert "secret" not in log.read_text()


@pytest.mark.parametrize("message", ["no JSON", "{}", '{"headers": {"published_at": "yesterday"}}'])
def test_message_of_another_producer_ends_neither_worker_nor_beat(queue: Queue, message: str) -> None:
    queue.client.lpush("celery", message)

    with capture_logs() as logged:
        beat_and_measure(app)

    assert [event["event"] for event in logged] == ["queue_not_measured"]
    queue.client.delete("celery")


def test_beat_skips_a_task_that_cannot_be_sent() -> None:
    scheduler = Scheduler(app=app, lazy=True)
    entry = scheduler.Entry(name="bad", task="bad", kwargs={"number": object()}, app=app)

    with pytest.raises(SchedulingError):
        scheduler.apply_async(entry, advance=False)


def test_task_called_directly_has_the_id_of_its_caller() -> None:
    @app.task
    def current_id() -> str | None:
        return request_id.current()

    with request_id.bound("id-of-the-caller"):
        assert current_id() == "id-of-the-caller"
