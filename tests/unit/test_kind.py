"""What can be known of `make kind` where there is no kind."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

CLUSTER = ROOT / "k8s" / "cluster"

# The programs that the script calls, as far as it can tell: what exists is a file in $STATE, each call a line of calls.
DOCKER = """
case "$*" in
    info) test ! -e "$STATE/docker-is-down" ;;
    "container inspect "*) test -e "$STATE/registry" ;;
    run*) echo running > "$STATE/registry" ;;
    "start django-registry") echo running > "$STATE/registry" ;;
    "network inspect"*) cat "$STATE/network" 2> /dev/null || true ;;
    "network connect"*) echo "$4" > "$STATE/network" ;;
    exec*) cat > "$STATE/hosts.toml" ;;
esac
"""
KIND = """
case "$*" in
    "version --quiet") cat "$STATE/version" ;;
    "get clusters") test ! -e "$STATE/kind-fails"; test ! -e "$STATE/cluster" || echo "$KIND_CLUSTER_NAME" ;;
    "get nodes") test ! -e "$STATE/cluster" || echo "$KIND_CLUSTER_NAME-control-plane" ;;
    create*) echo begun > "$STATE/cluster"; test ! -e "$STATE/create-fails"; echo made > "$STATE/cluster" ;;
    export*) grep --quiet made "$STATE/cluster" ;;
    delete*) rm "$STATE/cluster" ;;
esac
"""
KUBECTL = """
case "$*" in
    *jsonpath*) cat "$STATE/kubernetes" ;;
    *"--filename -") cat > "$STATE/registry.yaml" ;;
    *"wait nodes"*) if rm "$STATE/starting" 2> /dev/null; then exit 1; fi ;;
esac
"""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


class Machine:
    """A machine whose docker, kind and kubectl keep a record."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.programs = folder / "programs"
        for made in (self.state, self.programs):
            made.mkdir()
        for name, code in (("docker", DOCKER), ("kind", KIND), ("kubectl", KUBECTL)):
            program = self.programs / name
            program.write_text(f'#!/bin/bash\nset -e\necho "{name} $*" >> "$STATE/calls"\n{code}')
            program.chmod(0o755)
        self.has("version", "0.33.0")
        self.has("kubernetes", "v1.37.0")

    def has(self, name: str, content: str = "") -> None:
        (self.state / name).write_text(f"{content}\n")

    def up(self, **environment: str) -> tuple[int, str, str]:
        """The script's exit code, what it said, and what it called."""
        calls = self.state / "calls"
        calls.unlink(missing_ok=True)
        path = f"{self.programs}:/usr/bin:/bin"
        done = subprocess.run(
            [ROOT / "bin" / "kind"],
            env={"PATH": path, "HOME": os.environ["HOME"], "STATE": str(self.state)} | environment,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr, calls.read_text() if calls.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_becomes_a_cluster_and_a_second_run_makes_nothing(machine: Machine) -> None:
    code, said, called = machine.up()
    assert code == 0, said
    assert "docker run" in called
    assert "kind create cluster --config cluster/kind.yaml\n" in called
    assert "docker network connect kind django-registry" in called
    assert (machine.state / "hosts.toml").read_text() == '[host."http://django-registry:5000"]\n'
    hosting = yaml.safe_load(read(machine.state / "registry.yaml")["data"]["localRegistryHosting.v1"])
    assert hosting["host"] == "localhost:5001"
    assert "kubectl --context kind-django apply --server-side --filename cluster/gateway.yaml" in called

    code, said, called = machine.up()

    assert code == 0, said
    assert not [word for word in ("docker run", "create", "delete", "network connect") if word in called]


def test_another_kubernetes_is_made_where_asked_for(machine: Machine) -> None:
    _, _, called = machine.up(NODE="kindest/node:v1.34.11")

    assert "kind create cluster --config cluster/kind.yaml --image kindest/node:v1.34.11\n" in called


def test_stopped_registry_and_node_are_started(machine: Machine) -> None:
    machine.up()
    machine.has("registry", "stopped")
    machine.has("starting")

    code, said, called = machine.up()

    assert code == 0, said
    assert "docker start django-registry\n" in called
    assert "docker start django-control-plane\n" in called
    assert (machine.state / "registry").read_text() == "running\n"
    assert not (machine.state / "starting").exists(), "it asked until the API server answered"


def test_failed_creation_leaves_no_cluster(machine: Machine) -> None:
    machine.has("create-fails")

    code, _, called = machine.up()

    assert code != 0
    assert called.endswith("kind delete cluster\n")


def test_kind_that_does_not_answer_is_no_missing_cluster(machine: Machine) -> None:
    machine.up()
    machine.has("kind-fails")

    code, _, called = machine.up()

    assert code != 0
    assert called.endswith("kind get clusters\n")
    assert (machine.state / "cluster").read_text() == "made\n"


def test_begun_cluster_is_made_anew(machine: Machine) -> None:
    machine.has("cluster", "begun")

    code, said, called = machine.up()

    assert code == 0, said
    assert called.index("kind delete cluster") < called.index("kind create cluster")


@pytest.mark.parametrize("missing", ["docker", "kind", "kubectl"])
def test_missing_program_is_named_with_where_to_get_it(machine: Machine, missing: str) -> None:
    (machine.programs / missing).unlink()
    # Nothing but these and the system's own, where a developer's machine may have them too.
    code, said, called = machine.up(PATH=f"{machine.programs}:{system(machine.programs.parent)}")

    assert code == 1
    assert said.startswith(f"{missing} is not installed: https://")
    assert called == ""


def system(folder: Path) -> Path:
    """A folder with what the script uses of a system."""
    tools = folder / "system"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "grep", "sort", "xargs", "cat", "rm"):
        program = shutil.which(name)
        assert program, name
        (tools / name).symlink_to(program)
    return tools


def test_docker_that_does_not_answer_and_old_kind_are_told(machine: Machine) -> None:
    machine.has("docker-is-down")
    assert machine.up()[:2] == (1, "Docker is not running: start it, or check `docker info`.\n")
    (machine.state / "docker-is-down").unlink()
    machine.has("version", "0.29.0")

    code, said, called = machine.up()

    assert (code, said) == (1, "kind 0.29.0 is too old: install 0.33.0 or later.\n")
    assert "run" not in called


def test_only_this_machine_reaches_the_ports_of_the_ingress() -> None:
    (node,) = read(CLUSTER / "kind.yaml")["nodes"]
    (traefik,) = [
        item for item in yaml.safe_load_all((CLUSTER / "traefik.yaml").read_text()) if item["kind"] == "Deployment"
    ]
    ports = traefik["spec"]["template"]["spec"]["containers"][0]["ports"]

    assert [(port["hostPort"], port["containerPort"]) for port in ports] == [(80, 80), (443, 443)]
    assert node["extraPortMappings"] == [
        {"listenAddress": "127.0.0.1", "hostPort": port, "containerPort": port} for port in (80, 443)
    ]
