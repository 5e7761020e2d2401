"""Each command of docs/deploy.md, docs/operate.md and docs/upgrade.md, as it stands there."""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.cluster import INGRESS, TAG, Release, run, until
from tests.support.documents import blocks


@pytest.fixture(scope="module")
def growing() -> Iterator[str]:
    """A StorageClass like the default one, whose volumes may be asked to grow: those of kind may not."""
    classes = json.loads(run("kubectl", "get", "storageclasses", "--output", "json").stdout)["items"]
    mark = "storageclass.kubernetes.io/is-default-class"
    (default,) = [each for each in classes if each["metadata"].get("annotations", {}).get(mark) == "true"]
    copy = default | {"metadata": {"generateName": "django-test-"}, "allowVolumeExpansion": True}
    made = run("kubectl", "create", "--filename", "-", "--output", "name", stdin=json.dumps(copy)).stdout.strip()
    yield made.partition("/")[2]
    run("kubectl", "delete", made)


@pytest.fixture(scope="module")
def shop(growing: str) -> Iterator[Release]:
    """What the documents speak of: the release `shop` with an administrator."""
    release = Release()
    release.install(superuser__enabled=True, postgres__storageClassName=growing)
    top = ("kubectl", "--namespace", release.namespace, "top", "pods")
    until(lambda: run(*top, check=False).returncode == 0, "the metrics server has seen the pods", 120)
    yield release
    release.remove()


@pytest.fixture
def shell(shop: Release, tmp_path: Path) -> Callable[[str], str]:
    """Runs commands in a folder from which they see the project, in the release's namespace."""
    config = tmp_path / "config"
    config.write_text(run("kubectl", "config", "view", "--flatten", "--minify").stdout)
    run("kubectl", "--kubeconfig", str(config), "config", "set-context", "--current", "--namespace", shop.namespace)
    for folder in ("charts", "k8s"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / ".curlrc").write_text(f'insecure\nresolve = "{shop.host}:443:{INGRESS}"\n')
    environment = os.environ | {"KUBECONFIG": str(config), "CURL_HOME": str(tmp_path)}
    environment.pop("TAG", None)  # a reader has none

    def execute(commands: str) -> str:
        commands = commands.replace("shop.example.org", shop.host).replace("1.2.3", TAG)
        return run("bash", "-euo", "pipefail", "-c", commands, stdin="", cwd=tmp_path, env=environment).stdout

    return execute


def test_deploying_names_the_image_by_its_digest_and_shows_what_will_be(
    shop: Release, shell: Callable[[str], str]
) -> None:
    digest, look = blocks("docs/deploy.md", "sh")
    *_, more = blocks("docs/deploy.md", "yaml")

    rendered = shell(look)

    containers = shop.pods("web")[0]["status"]["containerStatuses"]
    (web,) = [container for container in containers if container["name"] == "web"]
    assert web["imageID"].endswith(f"@{shell(digest).strip()}")
    assert rendered.count("kind: Cluster\n") == 1
    assert shell(look) == rendered
    assert "port: 9000" not in rendered
    assert "port: 9000" in shell(f"{look.strip()} --values - <<< '{more}'")


def are_in_both_logs(shell: Callable[[str], str], commands: str) -> bool:
    return {line.split("]")[0].rpartition("/")[2] for line in shell(commands).splitlines()} == {"nginx", "web"}


def test_operating_loses_nobody_and_nothing(shop: Release, shell: Callable[[str], str]) -> None:
    person = shop.person("somebody")
    password, migrations = shop.secret("POSTGRES_PASSWORD"), shop.migrations_run()

    said = []
    for commands in blocks("docs/operate.md", "sh"):
        if '"$id"' in commands:  # the logs follow the answer
            until(partial(are_in_both_logs, shell, commands), "nginx and Django have logged the request")
        else:
            said.append(shell(commands))

    assert shop.secret("DJANGO_SUPERUSER_PASSWORD") in said
    assert shop.migrations_run()
    assert not shop.migrations_run() & migrations
    assert shop.secret("POSTGRES_PASSWORD") != password
    assert len(shop.secret("SECRET_KEY_FALLBACKS")) >= 50
    assert shop.get("deployment/shop-worker")["spec"]["replicas"] == 2
    until(lambda: shop.knows(person), "nobody is logged out")


def test_upgrading_keeps_the_data_until_it_is_removed(shop: Release, shell: Callable[[str], str]) -> None:
    person = shop.person()
    *before, uninstall, remove = blocks("docs/upgrade.md", "sh")

    for commands in before:
        shell(commands)

    claim = shop.get("persistentvolumeclaim/data-shop-postgres-0")
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    until(lambda: shop.knows(person), "nobody is logged out")
    shell(uninstall)
    shell(remove)
    until(lambda: shop.get("persistentvolumeclaim,secret,all")["items"] == [], "nothing is left")
