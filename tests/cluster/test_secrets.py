"""Secrets through upgrades and changes."""

import base64
import json
import secrets
from typing import Any

import pytest

from tests.support.cluster import Release, wait_until


def test_upgrade_keeps_every_generated_secret(release: Release) -> None:
    before = release.get("secret", f"{release.name}-secret")["data"]
    session = release.sign_up()

    release.install(web__threads=3)

    assert release.get("secret", f"{release.name}-secret")["data"] == before
    wait_until(lambda: release.is_logged_in(session), "the user is still logged in")
    release.install()


def test_changed_database_password_takes_effect_after_an_upgrade(release: Release) -> None:
    session = release.sign_up()
    changed = base64.b64encode(b"another-password").decode()

    release.kubectl(
        "patch", "secret", f"{release.name}-secret", "--patch", f'{{"data": {{"POSTGRES_PASSWORD": "{changed}"}}}}'
    )
    release.install()

    assert release.secret("POSTGRES_PASSWORD") == "another-password"
    assert "another-password" in release.python("import os; print(os.environ['DATABASE_URL'])")
    wait_until(lambda: release.is_logged_in(session), "the user is still logged in")
    assert release.restart_count("web") == 0


def opaque_secrets(release: Release) -> dict[str, Any]:
    """Returns the data of every Secret except Helm's own."""
    return {
        item["metadata"]["name"]: item["data"]
        for item in release.get("secrets", "--field-selector=type=Opaque")["items"]
    }


@pytest.mark.parametrize("mode", ["seed", "existing"])
def test_upgrade_keeps_secrets_and_sessions(empty: Release, mode: str) -> None:
    values: dict[str, Any] = {"secrets__mode": mode}
    if mode == "seed":
        values["secrets__seed"] = secrets.token_hex(32)
    else:
        values["secrets__existingSecret"] = "mine"
        keys = ("SECRET_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD")
        literals = [f"--from-literal={key}={secrets.token_hex(32)}" for key in keys]
        empty.kubectl("create", "secret", "generic", "mine", *literals)
    empty.install(**values)
    before = opaque_secrets(empty)
    session = empty.sign_up()

    empty.install(web__threads=3, **values)

    assert opaque_secrets(empty) == before
    assert len(before) == 1
    wait_until(lambda: empty.is_logged_in(session), "the user is still logged in")


def test_changed_existing_secret_takes_effect_after_a_restart(empty: Release) -> None:
    # given a release with a Secret that the chart does not create
    passwords = {key: secrets.token_hex(32) for key in ("SECRET_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD")}
    empty.kubectl("create", "secret", "generic", "mine", *(f"--from-literal={k}={v}" for k, v in passwords.items()))
    empty.install(secrets__mode="existing", secrets__existingSecret="mine")
    session = empty.sign_up()

    # when the passwords of both servers change and all pods restart
    changed = {key: secrets.token_hex(16) for key in ("POSTGRES_PASSWORD", "VALKEY_PASSWORD")}
    empty.kubectl("patch", "secret", "mine", "--patch", json.dumps({"stringData": changed}))
    workloads = ("statefulset,deployment", "--selector", f"app.kubernetes.io/instance={empty.name}")
    empty.kubectl("rollout", "restart", *workloads)
    empty.kubectl("rollout", "status", *workloads, "--timeout=300s")

    # then the new passwords are used, and the old database password is rejected
    assert changed["POSTGRES_PASSWORD"] in empty.python("import os; print(os.environ['DATABASE_URL'])")
    wait_until(lambda: empty.is_logged_in(session), "the user is still logged in")
    wait_until(lambda: empty.health_status("/readyz") == 200, "/readyz returns 200")
    connect = "import psycopg2, os; psycopg2.connect(os.environ['DATABASE_URL'].replace('{}', '{}'))"
    wrong = connect.format(changed["POSTGRES_PASSWORD"], passwords["POSTGRES_PASSWORD"])
    with pytest.raises(AssertionError, match="password authentication failed"):
        empty.python(wrong)
