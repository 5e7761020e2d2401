"""The project of docs/your-own-project.md on a cluster: its image is built from the document's blocks and the wheel."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import plain_project
from tests.support.cluster import REGISTRY, TAG, Release, run, stylesheet, wait_until

COUNTER = "django_http_responses_total_by_status_view_method_total"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_project.build_wheel(tmp_path_factory.mktemp("dist"))


def image(directory: Path, name: str, dockerfile: str) -> dict[str, Any]:
    """Build and push the image of a directory; return the values that name it."""
    (directory / "Dockerfile").write_text(dockerfile)
    repository = f"{REGISTRY}/{name}"
    run("docker", "build", "--quiet", "--tag", f"{repository}:{TAG}", str(directory))
    run("docker", "push", "--quiet", f"{repository}:{TAG}")
    return {"image__repository": repository}


def install(release: Release, directory: Path, image: dict[str, Any], *values: str) -> None:
    """Install with the values of the document, and wait until the ingress controller knows the release."""
    files = []
    for number, text in enumerate(values):
        file = directory / f"values-{number}.yaml"
        file.write_text(text)
        files += ["--values", str(file)]
    release.install(*files, **image)
    release.wait_for_ingress("/shop/")


def events(release: Release, component: str, event: str) -> list[dict[str, Any]]:
    """The log events of a component's containers, without those of nginx."""
    lines = release.kubectl("logs", release.pod(component), "--container", component).splitlines()
    parsed = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in parsed if line["event"] == event]


def count(release: Release, metric: str) -> float:
    """The sum of the series of a web pod's metric whose labels match."""
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8002/metrics', timeout=10).read().decode())"
    text = release.kubectl("exec", release.pod("web"), "--container", "web", "--", "python", "-c", code)
    return sum(float(value) for value in re.findall(rf"^{metric} (\S+)$", text, re.MULTILINE))


def assert_health_and_metrics(release: Release) -> None:
    """The behaviour that the service has: probes without a database, counters over a killed worker, styled admin."""
    session = release.session()
    restarts = release.restart_count("web")
    shop = rf'{COUNTER}{{method="GET",status="200",view="shop"}}'
    before = count(release, shop)
    first = session.get(f"{release.url}/shop/").json()
    assert first["secure"] is True
    release.kubectl(
        "exec", release.pod("web"), "--container", "web", "--", "python", "-c", f"import os; os.kill({first['pid']}, 9)"
    )
    wait_until(lambda: session.get(f"{release.url}/shop/").json()["pid"] != first["pid"], "another worker answers")
    counted = count(release, shop)
    assert counted >= before + 2
    assert [session.get(f"{release.url}/shop/").status_code for _ in range(5)] == [200] * 5
    assert count(release, shop) == counted + 5

    with release.stopped("postgres"):
        wait_until(lambda: release.health_status("/readyz") == 503, "/readyz returns 503", 60)
        assert release.health_status("/livez") == 200
    wait_until(lambda: release.health_status("/readyz") == 200, "/readyz returns 200", 60)
    assert release.restart_count("web") == restarts
    wait_until(lambda: session.get(f"{release.url}/shop/").ok, "the ingress controller sends requests again")

    page = session.get(f"{release.url}/admin/login/")
    style = session.get(release.url + stylesheet(page.text))
    assert re.fullmatch(r"/static/admin/css/base\.\w{12}\.css", stylesheet(page.text))
    assert style.headers["Content-Type"] == "text/css"
    assert "immutable" in style.headers["Cache-Control"]


def assert_migrated_once(release: Release) -> None:
    assert len(release.migration_pod_uids()) == 1
    assert release.kubectl("logs", release.pod("web"), "--container", "wait").endswith("Every migration is applied.\n")


def test_project_of_the_document_runs_by_default_values(empty: Release, tmp_path: Path, wheel: Path) -> None:
    plain_project.start_project(tmp_path)
    plain_project.copy_wheel(wheel, tmp_path)
    built = image(tmp_path, "plain", plain_project.DOCKERFILE)

    install(empty, tmp_path, built, plain_project.VALUES)

    assert_migrated_once(empty)
    # a request id from nginx to Django and its task, in their logs
    session = empty.session()
    response = session.get(f"{empty.url}/shop/?parcel=ordered")
    request_id = response.headers["X-Request-ID"]
    wait_until(
        lambda: any(line["parcel"] == "ordered" for line in events(empty, "worker", "packed")), "the task has run"
    )
    (packed,) = [line for line in events(empty, "worker", "packed") if line["parcel"] == "ordered"]
    (logged,) = [line for line in events(empty, "web", "request") if line["request_id"] == request_id]
    assert (packed["request_id"], logged["path"]) == (request_id, "/shop/")
    nginx = empty.kubectl("logs", empty.pod("web"), "--container", "nginx")
    assert request_id in nginx
    # Beat's schedule, and the heartbeats that the probes read
    wait_until(
        lambda: any(line["parcel"] == "scheduled" for line in events(empty, "worker", "packed")), "Beat's task has run"
    )
    for component in ("worker", "beat"):
        age = 'echo $(($(date +%s) - $(stat -c %Y "$HEARTBEAT_FILE")))'
        command = ("exec", empty.pod(component), "--container", component, "--", "sh", "-c", age)
        assert int(empty.kubectl(*command)) <= 10
        assert empty.restart_count(component) == 0
    assert_health_and_metrics(empty)


def test_project_runs_without_celery(empty: Release, tmp_path: Path, wheel: Path) -> None:
    plain_project.start_project(tmp_path, with_celery=False)
    plain_project.copy_wheel(wheel, tmp_path)
    built = image(tmp_path, "plain-without-celery", plain_project.DOCKERFILE.replace("[celery,redis]", ""))

    install(empty, tmp_path, built, plain_project.VALUES, plain_project.WITHOUT_CELERY)

    assert_migrated_once(empty)
    assert_health_and_metrics(empty)


def test_project_runs_on_asgi(empty: Release, tmp_path: Path, wheel: Path) -> None:
    plain_project.start_project(tmp_path, with_celery=False)
    plain_project.copy_wheel(wheel, tmp_path)
    dockerfile = plain_project.DOCKERFILE.replace('[celery,redis]"', '" uvicorn')
    built = image(tmp_path, "plain-asgi", dockerfile)

    values = (plain_project.VALUES, plain_project.WITHOUT_CELERY, plain_project.WITH_ASGI)
    install(empty, tmp_path, built, *values)

    assert_migrated_once(empty)
    assert_health_and_metrics(empty)


def test_project_without_the_package_runs_by_values(empty: Release, tmp_path: Path) -> None:
    run(sys.executable, "-m", "django", "startproject", "plain", str(tmp_path))
    plain_project.add(tmp_path / "plain/settings.py", plain_project.SETTINGS_WITHOUT_PACKAGE)
    packages = "django gunicorn psycopg2-binary dj-database-url"
    lines = [line for line in plain_project.DOCKERFILE.splitlines(keepends=True) if "/wheels/" not in line]
    lines.insert(4, f"RUN pip install --no-cache-dir {packages}\n")
    built = image(
        tmp_path, "plain-django", "".join(lines).replace("RUN SECRET_KEY", "RUN DJANGO_ALLOWED_HOSTS=x SECRET_KEY")
    )
    file = tmp_path / "values.yaml"
    file.write_text(plain_project.WITHOUT_PACKAGE)

    empty.install("--values", str(file), superuser__enabled=True, **built)

    assert empty.restart_count("web") == 0
    session = empty.session()
    page = wait_until(lambda: session.get(f"{empty.url}/admin/login/"), "the ingress controller knows the release")
    assert session.get(empty.url + stylesheet(page.text)).headers["Content-Type"] == "text/css"
    empty.kubectl(
        "wait",
        "job",
        "--selector=app.kubernetes.io/component=superuser",
        "--for=condition=Complete",
        "--timeout=180s",
    )
    credentials = {"username": "admin", "password": empty.secret("DJANGO_SUPERUSER_PASSWORD")}
    empty.post(session, "/admin/login/", credentials)
    assert "Site administration" in session.get(f"{empty.url}/admin/").text
