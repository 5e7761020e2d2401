"""Runs every command of docs/deploy.md, docs/operate.md and docs/upgrade.md unchanged."""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.cluster import INGRESS, TAG, Release, run, wait_until
from tests.support.documents import blocks


@pytest.fixture(scope="module")
def expandable_storage_class() -> Iterator[str]:
    """A copy of the default StorageClass that allows expansion, which kind's does not."""
    classes = json.loads(run("kubectl", "get", "storageclasses", "--output", "json").stdout)["items"]
    annotation = "storageclass.kubernetes.io/is-default-class"
    (default,) = [each for each in classes if each["metadata"].get("annotations", {}).get(annotation) == "true"]
    copy = default | {"metadata": {"generateName": "django-test-"}, "allowVolumeExpansion": True}
    created = run("kubectl", "create", "--filename", "-", "--output", "name", stdin=json.dumps(copy)).stdout.strip()
    yield created.partition("/")[2]
    run("kubectl", "delete", created)


@pytest.fixture(scope="module")
def shop(expandable_storage_class: str) -> Iterator[Release]:
    """The release `shop` of the pages, with a superuser."""
    release = Release()
    release.install(superuser__enabled=True, postgres__storageClassName=expandable_storage_class)
    top = ("kubectl", "--namespace", release.namespace, "top", "pods")
    wait_until(lambda: run(*top, check=False).returncode == 0, "metrics-server has scraped the pods", 120)
    yield release
    release.remove()


@pytest.fixture
def shell(shop: Release, tmp_path: Path) -> Callable[[str], str]:
    """Runs commands in the release's namespace, in a directory with links to the chart and the values."""
    config = tmp_path / "config"
    config.write_text(run("kubectl", "config", "view", "--flatten", "--minify").stdout)
    run("kubectl", "--kubeconfig", str(config), "config", "set-context", "--current", "--namespace", shop.namespace)
    for folder in ("charts", "k8s"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / ".curlrc").write_text(f'insecure\nresolve = "{shop.host}:443:{INGRESS}"\n')
    environment = os.environ | {"KUBECONFIG": str(config), "CURL_HOME": str(tmp_path)}
    environment.pop("TAG", None)  # readers do not set it

    def execute(commands: str) -> str:
        commands = commands.replace("shop.example.org", shop.host).replace("1.2.3", TAG)
        return run("bash", "-euo", "pipefail", "-c", commands, stdin="", cwd=tmp_path, env=environment).stdout

    return execute


def test_deploy_page_prints_the_digest_and_the_manifests(shop: Release, shell: Callable[[str], str]) -> None:
    digest, render = blocks("docs/deploy.md", "sh")
    *_, egress = blocks("docs/deploy.md", "yaml")

    rendered = shell(render)

    containers = shop.pods("web")[0]["status"]["containerStatuses"]
    (web,) = [container for container in containers if container["name"] == "web"]
    assert web["imageID"].endswith(f"@{shell(digest).strip()}")
    assert rendered.count("kind: Cluster\n") == 1
    assert shell(render) == rendered
    assert "port: 9000" not in rendered
    assert "port: 9000" in shell(f"{render.strip()} --values - <<< '{egress}'")


def is_in_both_logs(shell: Callable[[str], str], commands: str) -> bool:
    return {line.split("]")[0].rpartition("/")[2] for line in shell(commands).splitlines()} == {"nginx", "web"}


def test_operate_page_keeps_sessions_and_rotates_secrets(shop: Release, shell: Callable[[str], str]) -> None:
    session = shop.sign_up("somebody")
    password, migrations = shop.secret("POSTGRES_PASSWORD"), shop.migration_pod_uids()

    outputs = []
    for commands in blocks("docs/operate.md", "sh"):
        if '"$id"' in commands:  # logs are written after the response
            wait_until(partial(is_in_both_logs, shell, commands), "nginx and Django log the request")
        else:
            outputs.append(shell(commands))

    assert shop.secret("DJANGO_SUPERUSER_PASSWORD") in outputs
    assert shop.migration_pod_uids()
    assert not shop.migration_pod_uids() & migrations
    assert shop.secret("POSTGRES_PASSWORD") != password
    assert len(shop.secret("SECRET_KEY_FALLBACKS")) >= 50
    assert shop.get("deployment/shop-worker")["spec"]["replicas"] == 2
    wait_until(lambda: shop.is_logged_in(session), "the user is still logged in")


def test_upgrade_page_keeps_the_data_until_it_is_deleted(shop: Release, shell: Callable[[str], str]) -> None:
    session = shop.sign_up()
    *upgrades, uninstall, delete = blocks("docs/upgrade.md", "sh")

    for commands in upgrades:
        shell(commands)

    claim = shop.get("persistentvolumeclaim/data-shop-postgres-0")
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    wait_until(lambda: shop.is_logged_in(session), "the user is still logged in")
    shell(uninstall)
    shell(delete)
    wait_until(lambda: shop.get("persistentvolumeclaim,secret,all")["items"] == [], "all objects are deleted")
