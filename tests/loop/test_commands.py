"""What is asked of Skaffold beside `dev`, and how that ends."""

import pytest
import yaml

from tests.support.cluster import run, until
from tests.support.debugger import stopped_at
from tests.support.skaffold import Skaffold

# What Kubernetes itself puts into a namespace, or keeps for a while.
NOT_OURS = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
UNCOUNTED = ("events", "events.events.k8s.io", "bindings", "pods.metrics.k8s.io")
VOLUMES = {f"persistentvolumeclaim/{name}" for name in ("data-shop-postgres-0", "data-shop-valkey-0", "shop-uploads")}


def everything(skaffold: Skaffold) -> set[str]:
    """All that is in the namespace and ours, whatever its kind."""
    # It fails, and names the others, while the API of one kind is away, such as the metrics server's.
    kinds = run("kubectl", "api-resources", "--namespaced", "--verbs=list", "--output=name", check=False).stdout
    chosen = ",".join(kind for kind in kinds.split() if kind not in UNCOUNTED)
    return set(skaffold.kubectl("get", chosen, "--output=name").split()) - NOT_OURS


def test_ctrl_c_leaves_nothing_but_the_volumes(skaffold: Skaffold) -> None:
    skaffold.start()
    assert everything(skaffold) > VOLUMES

    code = skaffold.interrupt()

    assert code == 0
    until(lambda: everything(skaffold) == VOLUMES, "only the volumes are left", 180)


def test_run_deploys_the_image_as_it_ships_and_again_restarts_nothing(skaffold: Skaffold) -> None:
    skaffold.command("run")
    image, pods = skaffold.image(), skaffold.uids("pods")
    until(lambda: skaffold.shows("/nowhere/", "</html>"), "the ingress controller has seen the release")
    nowhere = skaffold.page("/nowhere/")
    assert "</html>" in nowhere
    assert "DEBUG = True" not in nowhere

    skaffold.command("run")

    assert skaffold.image() == image
    assert skaffold.uids("pods") == pods
    assert skaffold.shows("/accounts/login/", "</html>")
    skaffold.command("delete")
    until(lambda: everything(skaffold) == VOLUMES, "only the volumes are left", 180)


def test_production_is_rendered_the_same_twice(skaffold: Skaffold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKAFFOLD_LABEL", "")  # as README.md says it
    render = ("render", "--profile", "production", "--digest-source", "tag")

    first = skaffold.command(*render)

    assert skaffold.command(*render) == first
    kinds = {document["kind"] for document in yaml.safe_load_all(first)}
    assert {"Cluster", "ExternalSecret", "ScaledObject", "Job"} <= kinds
    assert "Secret" not in kinds
    assert "skaffold.dev" not in first


BREAK = """
def stop(request):
    from django.http import HttpResponse
    return HttpResponse("went on")
urlpatterns += [path("stop/", stop)]
"""


def test_a_debugger_stops_a_web_pod_where_the_editor_says(skaffold: Skaffold) -> None:
    skaffold.start("--profile", "debug")
    urls = skaffold.read("service/urls.py") + BREAK
    skaffold.save("service/urls.py", urls)
    until(lambda: skaffold.page("/stop/") == "went on", "the new view")
    line = urls.splitlines().index('    return HttpResponse("went on")') + 1
    answers: list[str] = []
    # As the head of k8s/values/skaffold-debug.yaml tells an editor.
    mapping = {"localRoot": str(skaffold.folder), "remoteRoot": "/app"}
    path = str(skaffold.folder / "service" / "urls.py")

    stop = stopped_at(5678, mapping, path, line, lambda: answers.append(skaffold.page("/stop/")))

    assert stop == {"path": path, "line": line}
    assert answers == ["went on"]
