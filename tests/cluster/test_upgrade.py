"""Upgrades, rollbacks and reinstallation."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.cluster import CHART, TAG, Release, build_image, failures, run, wait_until

LAST = max((ROOT / "service" / "accounts" / "migrations").glob("0*.py")).stem


def next_version(tag: str, sql: str) -> str:
    """Builds an image of the service with another migration and another stylesheet; returns its tag."""
    migration = (
        "from django.db import migrations\\n"
        "class Migration(migrations.Migration):\\n"
        f'    dependencies = [(\\"accounts\\", \\"{LAST}\\")]\\n'
        f'    operations = [migrations.RunSQL(\\"{sql}\\", migrations.RunSQL.noop)]\\n'
    )
    settings = (
        f"SECRET_KEY={'0123456789' * 5} DJANGO_ALLOWED_HOSTS=x DATABASE_URL=postgres://localhost/x REDIS_URL=redis://x"
    )
    return build_image(
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
    """The shared release at the current version; restored after the test."""
    release.install()
    yield release
    release.install()


def tag(release: Release) -> str:
    images = {pod["spec"]["containers"][0]["image"] for pod in release.pods("web")}
    (only,) = images
    return str(only).rpartition(":")[2]


def columns(release: Release) -> str:
    return release.psql("SELECT count(*) FROM information_schema.columns WHERE column_name = 'probe'")


def test_failed_migration_rolls_back_without_failed_requests(running: Release, bad: str, good: str) -> None:
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
        wait_until(
            lambda: sum(".css" in outcome for outcome in list(outcomes)) == 2, "pages of both versions are served"
        )

    assert failures(outcomes) == {}
    assert any(outcome.startswith("POST") for outcome in outcomes)
    assert tag(running) == good
    assert columns(running) == "1"


def test_pods_of_both_versions_serve_the_static_files_of_both(running: Release, good: str) -> None:
    # given a paused upgrade with a ready pod of each version
    upgrade = threading.Thread(target=running.install, kwargs={"image__tag": good})
    upgrade.start()
    web = f"deployment/{running.name}-web"
    try:
        wait_until(lambda: len(running.pods("web")) == 2, "the pod of the new version exists", 60)
        running.kubectl("rollout", "pause", web)
        names = [pod["metadata"]["name"] for pod in running.pods("web")]
        running.kubectl("wait", "pod", *names, "--for=condition=Ready", "--timeout=180s")

        # when each pod gets requests for the stylesheets of both
        list_styles = ("--container", "web", "--", "sh", "-c", "ls static/main.*.css")
        styles = [running.kubectl("exec", name, *list_styles).strip() for name in names]
        statuses = [running.status(name, 8080, f"/{style}") for name in names for style in styles]
    finally:
        run("kubectl", "--namespace", running.namespace, "rollout", "resume", web, check=False)
        upgrade.join()

    # then it serves all of them
    assert len(set(styles)) == 2
    assert statuses == [200] * 4
    assert tag(running) == good


def test_rollback_returns_to_the_former_image(running: Release, good: str) -> None:
    running.install(image__tag=good)

    with running.load() as outcomes:
        running.helm("rollback", running.name, "--wait", "--timeout", "300s")

    assert tag(running) == TAG
    assert failures(outcomes) == {}


def test_uninstall_keeps_data_and_secrets_for_a_reinstall(running: Release) -> None:
    running.sign_up("keeper")
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


def test_applying_rendered_manifests_again_runs_no_migration(empty: Release) -> None:
    seed = {"secrets.mode": "seed", "secrets.seed": "5eed" * 16}

    def apply(**values: int) -> set[str]:
        flags = empty.flags(seed | {key.replace("__", "."): value for key, value in values.items()})
        command = ("helm", "template", empty.name, str(CHART), "--namespace", empty.namespace, "--skip-tests")
        empty.kubectl("apply", "--filename", "-", stdin=run(*command, *flags).stdout)
        for deployment in ("web", "worker", "beat"):
            empty.kubectl("rollout", "status", f"deployment/{empty.name}-{deployment}", "--timeout=300s")
        return empty.migration_pod_uids()

    first = apply()
    secret = empty.get("secret", f"{empty.name}-secret")["data"]
    empty.sign_up("applied")

    assert apply(web__threads=3) == first
    assert empty.get("secret", f"{empty.name}-secret")["data"] == secret
    assert empty.psql("SELECT count(*) FROM auth_user") == "1"


def test_rendered_manifests_can_be_applied_over_a_helm_release(empty: Release) -> None:
    seed: dict[str, Any] = {"secrets__mode": "seed", "secrets__seed": "5eed" * 16}
    empty.install(**seed)
    migrations = empty.migration_pod_uids()
    command = ("helm", "template", empty.name, str(CHART), "--namespace", empty.namespace, "--skip-tests")
    flags = empty.flags({key.replace("__", "."): value for key, value in seed.items()} | {"web.threads": 3})

    empty.kubectl("apply", "--filename", "-", stdin=run(*command, *flags).stdout)
    empty.kubectl("rollout", "status", f"deployment/{empty.name}-web", "--timeout=300s")

    environment = {item["name"]: item.get("value") for item in empty.pods("web")[-1]["spec"]["containers"][0]["env"]}
    assert environment["GUNICORN_THREADS"] == "3"
    assert empty.migration_pod_uids() == migrations
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


def test_volume_of_another_postgres_version_is_refused_with_instructions(empty: Release) -> None:
    # given a volume of another major version
    empty.kubectl("apply", "--filename", "-", stdin=OLD_VOLUME)
    empty.kubectl("wait", "pod/old", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=180s")

    # when the release is installed with this volume
    empty.install("--timeout", "1s", check=False, web__replicas=0, worker__enabled=False, beat__enabled=False)

    # then PostgreSQL does not start, and its pod logs instructions
    def failed_guards() -> list[Any]:
        statuses = [pod["status"].get("initContainerStatuses", []) for pod in empty.pods("postgres")]
        return [status for found in statuses for status in found if status["restartCount"] > 0]

    (guard,) = wait_until(failed_guards, "the init container has failed and restarted", 120)
    assert guard["lastState"]["terminated"]["exitCode"] == 1
    assert empty.kubectl("logs", "shop-postgres-0", "--container", "version", "--previous") == (
        "The volume holds PostgreSQL 19 and the image is 18. Restore the former postgres.image.tag, run pg_dump,"
        " delete the volume, set the new tag, and run pg_restore (docs/upgrade.md).\n"
    )
