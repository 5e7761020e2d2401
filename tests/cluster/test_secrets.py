"""Secrets over the life of a release."""

import base64
import json
import secrets
from typing import Any

import pytest

from tests.support.cluster import Release, until


def test_upgrade_keeps_every_generated_secret(release: Release) -> None:
    before = release.get("secret", f"{release.name}-secret")["data"]
    person = release.person()

    release.install(web__threads=3)

    assert release.get("secret", f"{release.name}-secret")["data"] == before
    until(lambda: release.knows(person), "nobody is logged out")
    release.install()


def test_changed_database_password_is_reconciled(release: Release) -> None:
    person = release.person()
    changed = base64.b64encode(b"another-password").decode()

    release.kubectl(
        "patch", "secret", f"{release.name}-secret", "--patch", f'{{"data": {{"POSTGRES_PASSWORD": "{changed}"}}}}'
    )
    release.install()

    assert release.secret("POSTGRES_PASSWORD") == "another-password"
    assert "another-password" in release.python("import os; print(os.environ['DATABASE_URL'])")
    until(lambda: release.knows(person), "nobody is logged out")
    assert release.restarts("web") == 0


def opaque(release: Release) -> dict[str, Any]:
    """The data of every Secret that isn't Helm's own."""
    return {
        item["metadata"]["name"]: item["data"]
        for item in release.get("secrets", "--field-selector=type=Opaque")["items"]
    }


@pytest.mark.parametrize("mode", ["seed", "existing"])
def test_upgrade_logs_nobody_out_whatever_makes_the_secrets(empty: Release, mode: str) -> None:
    values: dict[str, Any] = {"secrets__mode": mode}
    if mode == "seed":
        values["secrets__seed"] = secrets.token_hex(32)
    else:
        values["secrets__existingSecret"] = "mine"
        keys = ("SECRET_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD")
        literals = [f"--from-literal={key}={secrets.token_hex(32)}" for key in keys]
        empty.kubectl("create", "secret", "generic", "mine", *literals)
    empty.install(**values)
    before = opaque(empty)
    person = empty.person()

    empty.install(web__threads=3, **values)

    assert opaque(empty) == before
    assert len(before) == 1
    until(lambda: empty.knows(person), "nobody is logged out")


def test_changed_secret_of_ones_own_is_read_after_a_restart(empty: Release) -> None:
    # given a release whose Secret somebody else made
    passwords = {key: secrets.token_hex(32) for key in ("SECRET_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD")}
    empty.kubectl("create", "secret", "generic", "mine", *(f"--from-literal={k}={v}" for k, v in passwords.items()))
    empty.install(secrets__mode="existing", secrets__existingSecret="mine")
    person = empty.person()

    # when both servers' passwords change and everything is restarted
    changed = {key: secrets.token_hex(16) for key in ("POSTGRES_PASSWORD", "VALKEY_PASSWORD")}
    empty.kubectl("patch", "secret", "mine", "--patch", json.dumps({"stringData": changed}))
    what = ("statefulset,deployment", "--selector", f"app.kubernetes.io/instance={empty.name}")
    empty.kubectl("rollout", "restart", *what)
    empty.kubectl("rollout", "status", *what, "--timeout=300s")

    # then all are at the new ones, and the old ones open nothing
    assert changed["POSTGRES_PASSWORD"] in empty.python("import os; print(os.environ['DATABASE_URL'])")
    until(lambda: empty.knows(person), "nobody is logged out")
    until(lambda: empty.health("/readyz") == 200, "the servers let it in")
    connect = "import psycopg2, os; psycopg2.connect(os.environ['DATABASE_URL'].replace('{}', '{}'))"
    wrong = connect.format(changed["POSTGRES_PASSWORD"], passwords["POSTGRES_PASSWORD"])
    with pytest.raises(AssertionError, match="password authentication failed"):
        empty.python(wrong)
