"""Secrets over the life of a release."""

import base64

from tests.cluster.cluster import Release


def test_upgrade_keeps_every_generated_secret(release: Release) -> None:
    before = release.get("secret", f"{release.name}-secret")["data"]
    person = release.person()

    release.install(web__threads=3)

    assert release.get("secret", f"{release.name}-secret")["data"] == before
    assert person.get(f"{release.url}/accounts/profile/").url == f"{release.url}/accounts/profile/"
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
    assert person.get(f"{release.url}/accounts/profile/").url == f"{release.url}/accounts/profile/"
    assert release.restarts("web") == 0
