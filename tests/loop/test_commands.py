"""Skaffold run, delete, render and debug, and the end of `skaffold dev`."""

import pytest
import yaml

from tests.support.cluster import run, wait_until
from tests.support.debugger import stopped_at
from tests.support.skaffold import Skaffold

# Objects that Kubernetes creates in every namespace, and kinds that it creates or deletes by itself.
KUBERNETES_OBJECTS = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
IGNORED_KINDS = ("events", "events.events.k8s.io", "bindings", "pods.metrics.k8s.io")
VOLUMES = {f"persistentvolumeclaim/{name}" for name in ("data-shop-postgres-0", "data-shop-valkey-0", "shop-uploads")}


def objects(skaffold: Skaffold) -> set[str]:
    """Return all objects in the namespace that Skaffold or its pods created, of every kind."""
    # If one API is unavailable, such as that of metrics-server, kubectl fails but prints the other kinds.
    kinds = run("kubectl", "api-resources", "--namespaced", "--verbs=list", "--output=name", check=False).stdout
    kinds_to_list = ",".join(kind for kind in kinds.split() if kind not in IGNORED_KINDS)
    return set(skaffold.kubectl("get", kinds_to_list, "--output=name").split()) - KUBERNETES_OBJECTS


def test_ctrl_c_deletes_everything_except_the_volumes(skaffold: Skaffold) -> None:
    skaffold.start()
    assert objects(skaffold) > VOLUMES

    code = skaffold.interrupt()

    assert code == 0
    wait_until(lambda: objects(skaffold) == VOLUMES, "only the volumes remain", 180)


def test_run_deploys_the_production_image_and_a_second_run_restarts_nothing(skaffold: Skaffold) -> None:
    skaffold.command("run")
    image, pods = skaffold.image(), skaffold.uids("pods")
    wait_until(lambda: skaffold.shows("/nowhere/", "</html>"), "the ingress serves the release")
    not_found = skaffold.page("/nowhere/")
    assert "</html>" in not_found
    assert "DEBUG = True" not in not_found

    skaffold.command("run")

    assert skaffold.image() == image
    assert skaffold.uids("pods") == pods
    assert skaffold.shows("/accounts/login/", "</html>")
    skaffold.command("delete")
    wait_until(lambda: objects(skaffold) == VOLUMES, "only the volumes remain", 180)


def test_rendering_the_production_profile_is_reproducible(skaffold: Skaffold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKAFFOLD_LABEL", "")  # as in README.md
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
    return HttpResponse("resumed")
urlpatterns += [path("stop/", stop)]
"""


def test_debugger_stops_the_web_pod_at_a_breakpoint(skaffold: Skaffold) -> None:
    skaffold.start("--profile", "debug")
    urls = skaffold.read("service/urls.py") + BREAK
    skaffold.save("service/urls.py", urls)
    wait_until(lambda: skaffold.page("/stop/") == "resumed", "the new view is served")
    line = urls.splitlines().index('    return HttpResponse("resumed")') + 1
    answers: list[str] = []
    # The path mapping that k8s/values/skaffold-debug.yaml gives for editors.
    mapping = {"localRoot": str(skaffold.folder), "remoteRoot": "/app"}
    path = str(skaffold.folder / "service" / "urls.py")

    stop = stopped_at(5678, mapping, path, line, lambda: answers.append(skaffold.page("/stop/")))

    assert stop == {"path": path, "line": line}
    assert answers == ["resumed"]
