"""The service with a task and a page more, which show what a worker does and what Django sees."""

import json
from collections.abc import Iterator

import pytest

from tests.support.cluster import Release, image, run, until

TASK = """

@app.task(ignore_result=True)
def probe(number):
    import time
    from django.db import connection, transaction
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO probe_start VALUES (%s)", [number])
        cursor.execute("SELECT count(*) FROM probe_start WHERE number = %s", [number])
        first = cursor.fetchone() == (1,)
        time.sleep(300 if first and number == 500 else 0)
        with transaction.atomic():
            cursor.execute("INSERT INTO probe_claim VALUES (%s) ON CONFLICT DO NOTHING", [number])
            if cursor.rowcount:
                cursor.execute("INSERT INTO probe_effect VALUES (%s)", [number])
        time.sleep(300 if first and number == 501 else 0)
"""
PAGE = """
from django.http import JsonResponse
urlpatterns.append(path("echo/", lambda request: JsonResponse(dict(request.headers))))
"""


@pytest.fixture(scope="module")
def probe(fresh: tuple[Release, float]) -> Iterator[Release]:
    """A task that hangs where a test kills it and a page of one's headers; nobody is trusted but the pod itself."""

    def append(path: str, code: str) -> str:
        command = ["sh", "-c", 'printf %s "$1" >> "service/$0"', path, code]
        return f"RUN {json.dumps(command)}\n"

    sooner = """RUN sed -i 's/"visibility_timeout": 600/"visibility_timeout": 5/' service/settings.py\n"""
    changes = append("reports/tasks.py", TASK) + append("urls.py", PAGE) + sooner
    release, _ = fresh
    release.install(
        image__tag=image("probe", f"USER 0\n{changes}USER 10001:10001"),
        # Celery is not process 1: that one nothing in its own container can kill.
        worker__command=["sh", "-c", 'celery --app service --quiet worker "$@"; exit $?', "worker"],
        nginx__trustedProxies=["127.0.0.0/8"],
        django__https=False,
    )
    yield release
    release.install()


def test_worker_killed_in_the_middle_of_a_thousand_tasks_loses_none_and_doubles_none(probe: Release) -> None:
    # given a thousand tasks
    for table in ("probe_start (number int)", "probe_effect (number int)", "probe_claim (number int PRIMARY KEY)"):
        probe.psql(f"CREATE TABLE {table}")
    worker = probe.pod("worker")

    # when all of it is killed, one task before its effect, one behind it, neither acknowledged
    probe.python("from service.reports.tasks import probe; [probe.delay(number) for number in range(1000)]")
    begun, done = "count(*) FROM probe_start WHERE number = 500", "count(*) FROM probe_effect WHERE number = 501"
    held = f"SELECT (SELECT {begun}), (SELECT {done})"
    until(lambda: probe.psql(held) == "1|1", "task 500 has begun and task 501 has its effect")
    before = int(probe.psql("SELECT count(*) FROM probe_effect"))
    kill = ("exec", worker, "--container", "worker", "--", "sh", "-c", "kill -9 -1")
    run("kubectl", "--namespace", probe.namespace, *kill, check=False)

    # then those two run again, and every task has one effect
    again = "SELECT count(*) FROM probe_start WHERE number IN (500, 501)"
    effects = "SELECT count(*), count(DISTINCT number) FROM probe_effect"
    until(lambda: probe.psql(again) == "4", "the interrupted tasks are done again", 180)
    until(lambda: probe.psql(effects).endswith("|1000"), "every task has its effect", 60)
    assert probe.psql(effects) == "1000|1000"
    assert 100 < before < 1000
    statuses = probe.get("pod", worker)["status"]["containerStatuses"]
    (status,) = [status for status in statuses if status["name"] == "worker"]
    assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 137)


def test_address_that_a_stranger_gives_is_not_believed(probe: Release) -> None:
    # given the page of the headers that Django sees, asked past the ingress controller on behalf of somebody else
    def seen(asker: str, host: str, port: int) -> list[str]:
        ask = f"""
import http.client
connection = http.client.HTTPConnection("{host}", {port}, timeout=10)
forged = {{"X-Forwarded-For": "203.0.113.7, 127.0.0.9", "X-Real-IP": "203.0.113.7"}}
connection.request("GET", "/echo/", headers=forged | {{"Host": "{probe.host}"}})
print(connection.getresponse().read().decode())
"""
        command = ("exec", probe.pod(asker), "--container", asker, "--", "python", "-c", ask)
        headers = json.loads(probe.kubectl(*command))
        return [headers["X-Forwarded-For"], headers["X-Real-Ip"]]

    # then another pod is itself, whatever it says, and who is trusted may speak for the one that it saw, the last
    own = probe.pods("worker")[-1]["status"]["podIP"]
    assert seen("worker", f"{probe.name}-web", 80) == [own, own]
    assert seen("web", "127.0.0.1", 8080) == ["127.0.0.9", "127.0.0.9"]
