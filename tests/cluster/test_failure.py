"""A release whose servers are lost and whose pods are deleted."""

import threading
import time
from collections.abc import Iterator

from tests.support.cluster import Release, wait_until
from tests.support.pictures import photo


def test_replaced_web_pod_runs_no_migration(release: Release) -> None:
    before = release.migration_pod_uids()
    old_pod = release.pod("web")

    release.kubectl("delete", "pod", old_pod)

    release.kubectl("rollout", "status", f"deployment/{release.name}-web", "--timeout=180s")
    assert release.pod("web") != old_pod
    assert release.migration_pod_uids() == before
    assert release.kubectl("logs", release.pod("web"), "--container", "wait").endswith("Every migration is applied.\n")


def test_lost_database_makes_pods_unready_and_restarts_nothing(release: Release) -> None:
    session = release.sign_up()
    users = release.psql("SELECT count(*) FROM auth_user")
    restarts = release.restart_count("web")

    with release.stopped("postgres"):
        wait_until(lambda: release.health_status("/readyz") == 503, "/readyz returns 503", 60)
        assert release.health_status("/livez") == 200
        wait_until(
            lambda: session.get(release.url).status_code in (502, 503),
            "the ingress controller removes the pod",
            60,
        )
    wait_until(lambda: release.health_status("/readyz") == 200, "/readyz returns 200", 60)

    assert release.psql("SELECT count(*) FROM auth_user") == users
    assert release.restart_count("web") == restarts
    wait_until(lambda: release.is_logged_in(session), "the profile page is shown again")


def test_lost_cache_logs_nobody_out(release: Release) -> None:
    session = release.sign_up()

    with release.stopped("valkey"):
        assert release.is_logged_in(session)
        assert release.health_status("/readyz") == 200

    assert release.is_logged_in(session)


def test_request_in_flight_completes_before_its_pod_terminates(release: Release) -> None:
    session = release.sign_up()
    pod = release.pod("web")
    lock_waits = "FROM pg_locks WHERE NOT granted AND relation = 'accounts_profile'::regclass"
    # Holds the lock for 20 s from the moment when the request waits for it.
    lock = f"""
        BEGIN; LOCK TABLE accounts_profile IN ACCESS EXCLUSIVE MODE;
        DO $$ BEGIN WHILE NOT EXISTS (SELECT {lock_waits}) LOOP PERFORM pg_sleep(0.1); END LOOP; END $$;
        SELECT pg_sleep(20); COMMIT"""
    holder = threading.Thread(target=release.psql, args=(lock,))
    holder.start()
    held = (
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'accounts_profile'::regclass"
    )
    wait_until(lambda: release.psql(held) == "1", "the table is locked")
    responses: list[tuple[int, float]] = []

    def request() -> None:
        sent = time.monotonic()
        status = session.get(f"{release.url}/accounts/profile/", timeout=60).status_code
        responses.append((status, time.monotonic() - sent))

    client = threading.Thread(target=request)
    client.start()
    waiting = f"SELECT count(*) {lock_waits}"
    wait_until(lambda: release.psql(waiting) == "1", "the request waits for the table")
    grace = release.get("pod", pod)["spec"]["terminationGracePeriodSeconds"]
    started = time.monotonic()
    release.kubectl("delete", "pod", pod, "--wait=false")
    waiting_after_delete = release.psql(waiting)
    release.kubectl("wait", f"pod/{pod}", "--for=delete", f"--timeout={grace + 10}s")
    termination = time.monotonic() - started

    client.join()
    holder.join()
    assert waiting_after_delete == "1"
    ((status, seconds),) = responses
    assert status == 200
    assert seconds > 20
    assert termination < grace
    release.kubectl("rollout", "status", f"deployment/{release.name}-web", "--timeout=180s")


def test_upload_that_still_arrives_is_answered_before_its_pod_ends(release: Release) -> None:
    # given a slow upload, which continues after nginx has stopped accepting connections
    session = release.sign_up()
    picture = {"picture": ("photo.jpg", photo()["buffer"])}
    form = release.prepare_post(session, "/accounts/profile/", {"display_name": "slow"}, files=picture)
    body, pod = form.body, release.pod("web")
    assert isinstance(body, bytes)
    grace = release.get("pod", pod)["spec"]["terminationGracePeriodSeconds"]
    begun, closed = threading.Event(), threading.Event()

    def slow_body() -> Iterator[bytes]:
        yield body[:1000]
        begun.set()
        position, seconds_closed = 1000, 0
        # One byte per second until 5 s after nginx closed its port, when an idle Gunicorn would have exited.
        while seconds_closed < 5:
            time.sleep(1)
            seconds_closed += closed.is_set()
            yield body[position : position + 1]
            position += 1
        yield body[position:]

    statuses: list[int] = []
    form.body = slow_body()  # type: ignore[assignment] # a generator

    def send() -> None:
        statuses.append(session.send(form, allow_redirects=False, verify=False, timeout=60).status_code)

    sender = threading.Thread(target=send)
    sender.start()

    # when the pod is deleted during the upload
    connect = "import socket; print(socket.socket().connect_ex(('127.0.0.1', 8080)))"
    command = ("exec", pod, "--container", "web", "--", "python", "-c", connect)
    try:
        assert begun.wait(30)
        release.kubectl("delete", "pod", pod, "--wait=false")
        wait_until(lambda: release.kubectl(*command) != "0\n", "nginx refuses connections")
        scraped = release.status(pod, 8002, "/metrics")
    finally:
        closed.set()
        sender.join()

    # then the response arrives, the upload is stored, and the metrics could still be scraped
    assert statuses == [302]
    assert scraped == 200
    stored = "SELECT count(*) FROM accounts_profile WHERE display_name = 'slow' AND picture <> ''"
    assert release.psql(stored) == "1"
    release.kubectl("wait", f"pod/{pod}", "--for=delete", f"--timeout={grace}s")
    release.kubectl("rollout", "status", f"deployment/{release.name}-web", "--timeout=180s")
