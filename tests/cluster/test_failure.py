"""What a release survives."""

import threading
import time
from collections.abc import Iterator

from tests.support.cluster import Release, until
from tests.support.pictures import photo


def test_restarted_web_pod_runs_no_migration(release: Release) -> None:
    before = release.migrations_run()
    former = release.pod("web")

    release.kubectl("delete", "pod", former)

    release.kubectl("rollout", "status", f"deployment/{release.name}-web", "--timeout=180s")
    assert release.pod("web") != former
    assert release.migrations_run() == before
    assert release.kubectl("logs", release.pod("web"), "--container", "wait").endswith("Every migration is applied.\n")


def test_lost_database_unreadies_and_restarts_nothing(release: Release) -> None:
    person = release.person()
    people = release.psql("SELECT count(*) FROM auth_user")
    restarts = release.restarts("web")

    with release.without("postgres"):
        until(lambda: release.health("/readyz") == 503, "readiness is lost with the database", 60)
        assert release.health("/livez") == 200
        until(
            lambda: person.get(release.url).status_code in (502, 503),
            "the ingress controller sends nobody to the pod",
            60,
        )
    until(lambda: release.health("/readyz") == 200, "readiness is back with the database", 60)

    assert release.psql("SELECT count(*) FROM auth_user") == people
    assert release.restarts("web") == restarts
    until(lambda: release.knows(person), "the profile is shown again")


def test_lost_cache_logs_nobody_out(release: Release) -> None:
    person = release.person()

    with release.without("valkey"):
        assert release.knows(person)
        assert release.health("/readyz") == 200

    assert release.knows(person)


def test_request_in_flight_is_answered_before_its_pod_ends(release: Release) -> None:
    person = release.person()
    pod = release.pod("web")
    waits = "FROM pg_locks WHERE NOT granted AND relation = 'accounts_profile'::regclass"
    # Twenty seconds from when the request waits, however late that is.
    lock = f"""
        BEGIN; LOCK TABLE accounts_profile IN ACCESS EXCLUSIVE MODE;
        DO $$ BEGIN WHILE NOT EXISTS (SELECT {waits}) LOOP PERFORM pg_sleep(0.1); END LOOP; END $$;
        SELECT pg_sleep(20); COMMIT"""
    holder = threading.Thread(target=release.psql, args=(lock,))
    holder.start()
    held = (
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'accounts_profile'::regclass"
    )
    until(lambda: release.psql(held) == "1", "the table is locked")
    answers: list[tuple[int, float]] = []

    def ask() -> None:
        asked = time.monotonic()
        status = person.get(f"{release.url}/accounts/profile/", timeout=60).status_code
        answers.append((status, time.monotonic() - asked))

    asker = threading.Thread(target=ask)
    asker.start()
    waiting = f"SELECT count(*) {waits}"
    until(lambda: release.psql(waiting) == "1", "the request waits for the table")
    grace = release.get("pod", pod)["spec"]["terminationGracePeriodSeconds"]
    started = time.monotonic()
    release.kubectl("delete", "pod", pod, "--wait=false")
    still = release.psql(waiting)
    release.kubectl("wait", f"pod/{pod}", "--for=delete", f"--timeout={grace + 10}s")
    ended = time.monotonic() - started

    asker.join()
    holder.join()
    assert still == "1"
    ((status, seconds),) = answers
    assert status == 200
    assert seconds > 20
    assert ended < grace
    release.kubectl("rollout", "status", f"deployment/{release.name}-web", "--timeout=180s")


def test_upload_that_still_arrives_is_answered_before_its_pod_ends(release: Release) -> None:
    # given a slow client, whose upload goes on after nginx has closed its door to others
    person = release.person()
    picture = {"picture": ("photo.jpg", photo()["buffer"])}
    form = release.form(person, "/accounts/profile/", {"display_name": "slow"}, files=picture)
    body, pod = form.body, release.pod("web")
    assert isinstance(body, bytes)
    grace = release.get("pod", pod)["spec"]["terminationGracePeriodSeconds"]
    begun, closed = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield body[:1000]
        begun.set()
        at, late = 1000, 0
        # A byte a second, and longer than Gunicorn would stay if it minded its own requests alone.
        while late < 5:
            time.sleep(1)
            late += closed.is_set()
            yield body[at : at + 1]
            at += 1
        yield body[at:]

    answers: list[int] = []
    form.body = slowly()  # type: ignore[assignment] # sent as it comes

    def send() -> None:
        answers.append(person.send(form, allow_redirects=False, verify=False, timeout=60).status_code)

    sender = threading.Thread(target=send)
    sender.start()

    # when its pod is deleted in the middle
    ask = "import socket; print(socket.socket().connect_ex(('127.0.0.1', 8080)))"
    command = ("exec", pod, "--container", "web", "--", "python", "-c", ask)
    try:
        assert begun.wait(30)
        release.kubectl("delete", "pod", pod, "--wait=false")
        until(lambda: release.kubectl(*command) != "0\n", "nginx takes no new request")
        scraped = release.status(pod, 8002, "/metrics")
    finally:
        closed.set()
        sender.join()

    # then it is answered, what it brought is there, and what the pod measured was told meanwhile
    assert answers == [302]
    assert scraped == 200
    named = "SELECT count(*) FROM accounts_profile WHERE display_name = 'slow' AND picture <> ''"
    assert release.psql(named) == "1"
    release.kubectl("wait", f"pod/{pod}", "--for=delete", f"--timeout={grace}s")
    release.kubectl("rollout", "status", f"deployment/{release.name}-web", "--timeout=180s")
