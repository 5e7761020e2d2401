"""The service with an additional task, which records its runs, and a page that returns the request's headers."""

import json
from collections.abc import Iterator

import pytest

from tests.support.cluster import Release, build_image, run, wait_until

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
    """The shared release with the task and the page. Only the pod itself is a trusted proxy."""

    def append(path: str, code: str) -> str:
        command = ["sh", "-c", 'printf %s "$1" >> "service/$0"', path, code]
        return f"RUN {json.dumps(command)}\n"

    visibility = """RUN sed -i 's/"visibility_timeout": 600/"visibility_timeout": 5/' service/settings.py\n"""
    changes = append("reports/tasks.py", TASK) + append("urls.py", PAGE) + visibility
    release, _ = fresh
    release.install(
        image__tag=build_image("probe", f"USER 0\n{changes}USER 10001:10001"),
        # Celery must not be process 1, which `kill` in the same container cannot kill.
        worker__command=["sh", "-c", 'celery --app service --quiet worker "$@"; exit $?', "worker"],
        nginx__trustedProxies=["127.0.0.0/8"],
        django__https=False,
    )
    yield release
    release.install()


def test_killed_worker_loses_and_duplicates_no_task(probe: Release) -> None:
    # given tables that record each task
    for table in ("probe_start (number int)", "probe_effect (number int)", "probe_claim (number int PRIMARY KEY)"):
        probe.psql(f"CREATE TABLE {table}")
    worker = probe.pod("worker")

    # when the worker is killed during 1000 tasks, with two unacknowledged: 500 before its effect, 501 after it
    probe.python("from service.reports.tasks import probe; [probe.delay(number) for number in range(1000)]")
    begun, done = "count(*) FROM probe_start WHERE number = 500", "count(*) FROM probe_effect WHERE number = 501"
    held = f"SELECT (SELECT {begun}), (SELECT {done})"
    wait_until(lambda: probe.psql(held) == "1|1", "task 500 has started and task 501 has its effect")
    before = int(probe.psql("SELECT count(*) FROM probe_effect"))
    kill = ("exec", worker, "--container", "worker", "--", "sh", "-c", "kill -9 -1")
    run("kubectl", "--namespace", probe.namespace, *kill, check=False)

    # then both run again, and every task has one effect
    again = "SELECT count(*) FROM probe_start WHERE number IN (500, 501)"
    effects = "SELECT count(*), count(DISTINCT number) FROM probe_effect"
    wait_until(lambda: probe.psql(again) == "4", "the interrupted tasks run again", 180)
    wait_until(lambda: probe.psql(effects).endswith("|1000"), "every task has its effect", 60)
    assert probe.psql(effects) == "1000|1000"
    assert 100 < before < 1000
    statuses = probe.get("pod", worker)["status"]["containerStatuses"]
    (status,) = [status for status in statuses if status["name"] == "worker"]
    assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 137)


def test_forwarded_address_of_an_untrusted_client_is_ignored(probe: Release) -> None:
    # given requests with forged headers that do not pass the ingress controller
    def headers_seen(component: str, host: str, port: int) -> list[str]:
        code = f"""
import http.client
connection = http.client.HTTPConnection("{host}", {port}, timeout=10)
forged = {{"X-Forwarded-For": "203.0.113.7, 127.0.0.9", "X-Real-IP": "203.0.113.7"}}
connection.request("GET", "/echo/", headers=forged | {{"Host": "{probe.host}"}})
print(connection.getresponse().read().decode())
"""
        command = ("exec", probe.pod(component), "--container", component, "--", "python", "-c", code)
        headers = json.loads(probe.kubectl(*command))
        return [headers["X-Forwarded-For"], headers["X-Real-Ip"]]

    # then Django sees the address of an untrusted pod, and the last address that a trusted proxy forwards
    worker = probe.pods("worker")[-1]["status"]["podIP"]
    assert headers_seen("worker", f"{probe.name}-web", 80) == [worker, worker]
    assert headers_seen("web", "127.0.0.1", 8080) == ["127.0.0.9", "127.0.0.9"]
