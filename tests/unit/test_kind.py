"""`bin/kind` with fake docker, kind and kubectl programs."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

CLUSTER = ROOT / "k8s" / "cluster"

# Fakes of the programs that the script calls. Their state is in files in $STATE; $STATE/calls lists all calls.
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
    """A machine with fake programs that record their calls."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.programs = directory / "programs"
        for path in (self.state, self.programs):
            path.mkdir()
        for name, code in (("docker", DOCKER), ("kind", KIND), ("kubectl", KUBECTL)):
            program = self.programs / name
            program.write_text(f'#!/bin/bash\nset -e\necho "{name} $*" >> "$STATE/calls"\n{code}')
            program.chmod(0o755)
        self.set("version", "0.33.0")
        self.set("kubernetes", "v1.37.0")

    def set(self, name: str, content: str = "") -> None:
        (self.state / name).write_text(f"{content}\n")

    def run_kind(self, **environment: str) -> tuple[int, str, str]:
        """Run `bin/kind`; return its exit status, its output and the calls of the fake programs."""
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


def test_first_run_creates_the_cluster_and_second_run_changes_nothing(machine: Machine) -> None:
    status, output, calls = machine.run_kind()
    assert status == 0, output
    assert "docker run" in calls
    assert "kind create cluster --config cluster/kind.yaml\n" in calls
    assert "docker network connect kind django-registry" in calls
    assert (machine.state / "hosts.toml").read_text() == '[host."http://django-registry:5000"]\n'
    hosting = yaml.safe_load(read(machine.state / "registry.yaml")["data"]["localRegistryHosting.v1"])
    assert hosting["host"] == "localhost:5001"
    assert "kubectl --context kind-django apply --server-side --filename cluster/gateway.yaml" in calls

    status, output, calls = machine.run_kind()

    assert status == 0, output
    assert not [word for word in ("docker run", "create", "delete", "network connect") if word in calls]


def test_node_selects_the_kubernetes_version(machine: Machine) -> None:
    _, _, calls = machine.run_kind(NODE="kindest/node:v1.34.11")

    assert "kind create cluster --config cluster/kind.yaml --image kindest/node:v1.34.11\n" in calls


def test_stopped_registry_and_node_are_started(machine: Machine) -> None:
    machine.run_kind()
    machine.set("registry", "stopped")
    machine.set("starting")

    status, output, calls = machine.run_kind()

    assert status == 0, output
    assert "docker start django-registry\n" in calls
    assert "docker start django-control-plane\n" in calls
    assert (machine.state / "registry").read_text() == "running\n"
    assert not (machine.state / "starting").exists(), "kubectl wait was not called until the API server was ready"


def test_failed_creation_leaves_no_cluster(machine: Machine) -> None:
    machine.set("create-fails")

    status, _, calls = machine.run_kind()

    assert status != 0
    assert calls.endswith("kind delete cluster\n")


def test_error_of_kind_does_not_count_as_a_missing_cluster(machine: Machine) -> None:
    machine.run_kind()
    machine.set("kind-fails")

    status, _, calls = machine.run_kind()

    assert status != 0
    assert calls.endswith("kind get clusters\n")
    assert (machine.state / "cluster").read_text() == "made\n"


def test_partially_created_cluster_is_recreated(machine: Machine) -> None:
    machine.set("cluster", "begun")

    status, output, calls = machine.run_kind()

    assert status == 0, output
    assert calls.index("kind delete cluster") < calls.index("kind create cluster")


@pytest.mark.parametrize("missing", ["docker", "kind", "kubectl"])
def test_missing_program_is_an_error_with_installation_instructions(machine: Machine, missing: str) -> None:
    (machine.programs / missing).unlink()
    # The usual PATH may contain the real program.
    status, output, calls = machine.run_kind(PATH=f"{machine.programs}:{system_programs(machine.programs.parent)}")

    assert status == 1
    assert output.startswith(f"{missing} is not installed. Install it: https://")
    assert calls == ""


def system_programs(directory: Path) -> Path:
    """Return a directory with only the system programs that the script calls."""
    tools = directory / "system"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "grep", "sort", "xargs", "cat", "rm"):
        program = shutil.which(name)
        assert program, name
        (tools / name).symlink_to(program)
    return tools


def test_stopped_docker_and_old_kind_are_errors(machine: Machine) -> None:
    machine.set("docker-is-down")
    assert machine.run_kind()[:2] == (1, "Cannot connect to Docker. Start it; `docker info` shows the error.\n")
    (machine.state / "docker-is-down").unlink()
    machine.set("version", "0.29.0")

    status, output, calls = machine.run_kind()

    assert (status, output) == (1, "kind 0.33.0 or newer is required, and 0.29.0 is installed. Upgrade it.\n")
    assert "run" not in calls


def test_ingress_ports_are_published_on_loopback_only() -> None:
    (node,) = read(CLUSTER / "kind.yaml")["nodes"]
    (traefik,) = [
        item for item in yaml.safe_load_all((CLUSTER / "traefik.yaml").read_text()) if item["kind"] == "Deployment"
    ]
    ports = traefik["spec"]["template"]["spec"]["containers"][0]["ports"]

    assert [(port["hostPort"], port["containerPort"]) for port in ports] == [(80, 80), (443, 443)]
    assert node["extraPortMappings"] == [
        {"listenAddress": "127.0.0.1", "hostPort": port, "containerPort": port} for port in (80, 443)
    ]
