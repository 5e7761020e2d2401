"""From one version to the next, and back."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.cluster import CHART, TAG, Release, failures, image, run, until

LAST = max((ROOT / "service" / "accounts" / "migrations").glob("0*.py")).stem


def next_version(tag: str, sql: str) -> str:
    """The service with one more migration and another stylesheet."""
    migration = (
        "from django.db import migrations\\n"
        "class Migration(migrations.Migration):\\n"
        f'    dependencies = [(\\"accounts\\", \\"{LAST}\\")]\\n'
        f'    operations = [migrations.RunSQL(\\"{sql}\\", migrations.RunSQL.noop)]\\n'
    )
    settings = (
        f"SECRET_KEY={'0123456789' * 5} DJANGO_ALLOWED_HOSTS=x DATABASE_URL=postgres://localhost/x REDIS_URL=redis://x"
    )
    return image(
        tag,
        f"""
        USER 0
        RUN printf "{migration}" > service/accounts/migrations/9999_{tag}.py \\
            && echo '.{tag} {{}}' >> service/assets/dist/main.css && rm -r static \\
            && {settings} python manage.py collectstatic --noinput
        USER 10001:10001
        """,
    )


@pytest.fixture(scope="module")
def good() -> str:
    return next_version("good", "ALTER TABLE auth_user ADD COLUMN IF NOT EXISTS probe integer")


@pytest.fixture(scope="module")
def bad() -> str:
    return next_version("bad", "SELECT 1 / 0")


@pytest.fixture
def running(release: Release) -> Iterator[Release]:
    """The release at the first version, before and after."""
    release.install()
    yield release
    release.install()


def tag(release: Release) -> str:
    images = {pod["spec"]["containers"][0]["image"] for pod in release.pods("web")}
    (only,) = images
    return str(only).rpartition(":")[2]


def columns(release: Release) -> str:
    return release.psql("SELECT count(*) FROM information_schema.columns WHERE column_name = 'probe'")


def test_failed_migration_rolls_back_and_nobody_notices(running: Release, bad: str, good: str) -> None:
    started = time.monotonic()
    with running.load() as outcomes:
        done = running.install("--rollback-on-failure", "--timeout", "45s", check=False, image__tag=bad)
    assert done.returncode != 0
    assert time.monotonic() - started < 150
    assert sum(outcomes.values()) > 100
    assert failures(outcomes) == {}
    assert tag(running) == TAG

    running.install(image__tag=good)

    assert tag(running) == good
    assert columns(running) == "1"


def test_upgrade_with_a_migration_loses_no_request(running: Release, good: str) -> None:
    running.psql("ALTER TABLE auth_user DROP COLUMN IF EXISTS probe")
    running.psql("DELETE FROM django_migrations WHERE name LIKE '9999%'")

    with running.load() as outcomes:
        running.install(image__tag=good)
        until(lambda: sum(".css" in what for what in list(outcomes)) == 2, "pages of both versions are seen")

    assert failures(outcomes) == {}
    assert any(what.startswith("POST") for what in outcomes)
    assert tag(running) == good
    assert columns(running) == "1"


def test_pods_of_either_version_have_the_files_of_both(running: Release, good: str) -> None:
    # given an upgrade that stands still while a pod of each version is ready
    upgrade = threading.Thread(target=running.install, kwargs={"image__tag": good})
    upgrade.start()
    web = f"deployment/{running.name}-web"
    try:
        until(lambda: len(running.pods("web")) == 2, "the next version's pod is there", 60)
        running.kubectl("rollout", "pause", web)
        names = [pod["metadata"]["name"] for pod in running.pods("web")]
        running.kubectl("wait", "pod", *names, "--for=condition=Ready", "--timeout=180s")

        # when each is asked for the stylesheets of both
        look = ("--container", "web", "--", "sh", "-c", "ls static/main.*.css")
        styles = [running.kubectl("exec", name, *look).strip() for name in names]
        answers = [running.status(name, 8080, f"/{style}") for name in names for style in styles]
    finally:
        run("kubectl", "--namespace", running.namespace, "rollout", "resume", web, check=False)
        upgrade.join()

    # then it has them
    assert len(set(styles)) == 2
    assert answers == [200] * 4
    assert tag(running) == good


def test_rollback_returns_to_the_former_image(running: Release, good: str) -> None:
    running.install(image__tag=good)

    with running.load() as outcomes:
        running.helm("rollback", running.name, "--wait", "--timeout", "300s")

    assert tag(running) == TAG
    assert failures(outcomes) == {}


def test_uninstall_keeps_what_was_entrusted_and_reinstall_finds_it(running: Release) -> None:
    running.person("keeper")
    secret = running.get("secret", f"{running.name}-secret")["data"]

    running.helm("uninstall", running.name, "--wait")
    kept = {item["metadata"]["name"] for item in running.get("persistentvolumeclaims,secrets")["items"]}
    names = {f"data-{running.name}-postgres-0", f"{running.name}-media", f"{running.name}-secret"}
    assert names <= kept
    running.install()

    assert running.get("secret", f"{running.name}-secret")["data"] == secret
    session = running.session()
    login = {"username": "keeper", "password": "correct-horse-battery"}
    assert running.post(session, "/accounts/login/", login).url.endswith("/accounts/profile/")


def test_rendered_manifests_are_applied_from_empty_and_again(empty: Release) -> None:
    seed = {"secrets.mode": "seed", "secrets.seed": "5eed" * 16}

    def apply(**values: int) -> set[str]:
        flags = empty.flags(seed | {key.replace("__", "."): value for key, value in values.items()})
        command = ("helm", "template", empty.name, str(CHART), "--namespace", empty.namespace, "--skip-tests")
        empty.kubectl("apply", "--filename", "-", stdin=run(*command, *flags).stdout)
        for deployment in ("web", "worker", "beat"):
            empty.kubectl("rollout", "status", f"deployment/{empty.name}-{deployment}", "--timeout=300s")
        return empty.migrations_run()

    first = apply()
    secret = empty.get("secret", f"{empty.name}-secret")["data"]
    empty.person("applied")

    assert apply(web__threads=3) == first
    assert empty.get("secret", f"{empty.name}-secret")["data"] == secret
    assert empty.psql("SELECT count(*) FROM auth_user") == "1"


def test_manifests_are_applied_over_a_release(empty: Release) -> None:
    seed: dict[str, Any] = {"secrets__mode": "seed", "secrets__seed": "5eed" * 16}
    empty.install(**seed)
    ran = empty.migrations_run()
    command = ("helm", "template", empty.name, str(CHART), "--namespace", empty.namespace, "--skip-tests")
    flags = empty.flags({key.replace("__", "."): value for key, value in seed.items()} | {"web.threads": 3})

    empty.kubectl("apply", "--filename", "-", stdin=run(*command, *flags).stdout)
    empty.kubectl("rollout", "status", f"deployment/{empty.name}-web", "--timeout=300s")

    environment = {item["name"]: item.get("value") for item in empty.pods("web")[-1]["spec"]["containers"][0]["env"]}
    assert environment["GUNICORN_THREADS"] == "3"
    assert empty.migrations_run() == ran
    assert (
        json.loads(run("helm", "list", "--namespace", empty.namespace, "--output", "json").stdout)[0]["status"]
        == "deployed"
    )


OLD_VOLUME = """
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata: {name: data-shop-postgres-0}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
  - apiVersion: v1
    kind: Pod
    metadata: {name: old}
    spec:
      restartPolicy: Never
      securityContext: {runAsUser: 999, fsGroup: 999, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: old
          image: postgres:18
          command: [sh, -c, "mkdir -p /data/19/docker && echo 19 > /data/19/docker/PG_VERSION"]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data-shop-postgres-0}}]
"""


def test_volume_of_another_postgresql_is_refused_with_the_procedure(empty: Release) -> None:
    # given the volume of another major version
    empty.kubectl("apply", "--filename", "-", stdin=OLD_VOLUME)
    empty.kubectl("wait", "pod/old", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=180s")

    # when the release is installed over it
    empty.install("--timeout", "1s", check=False, web__replicas=0, worker__enabled=False, beat__enabled=False)

    # then PostgreSQL doesn't start, and its pod says what to do
    def refused() -> list[Any]:
        statuses = [pod["status"].get("initContainerStatuses", []) for pod in empty.pods("postgres")]
        return [status for found in statuses for status in found if status["restartCount"] > 0]

    (guard,) = until(refused, "the guard has ended and is tried again", 120)
    assert guard["lastState"]["terminated"]["exitCode"] == 1
    assert empty.kubectl("logs", "shop-postgres-0", "--container", "version", "--previous") == (
        "The volume holds PostgreSQL 19 and the image is 18. Set postgres.image.tag back, pg_dump, remove the volume,"
        " set the new tag, restore.\n"
    )
