"""Skaffold in a copy of the project, and what a developer does with it: save a file, look at the result."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import requests

from tests.cluster.cluster import REGISTRY, ROOT, run, until

HOST = "shop.localhost"


class Skaffold:
    """A namespace, a copy of the project whose files may be changed, and Skaffold's commands in both."""

    def __init__(self) -> None:
        self.namespace = f"django-test-{secrets.token_hex(3)}"
        self.folder = Path(tempfile.mkdtemp(prefix="loop-"))
        files = run("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        run("kubectl", "create", "namespace", self.namespace)
        run("kubectl", "label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")
        self.browser = requests.Session()
        self.browser.trust_env = False  # no proxy
        self.browser.verify = False  # the ingress controller's own certificate
        self.process: subprocess.Popen[bytes] | None = None
        self.output = self.folder.with_suffix(".log")

    def flags(self) -> list[str]:
        # Without a registry Skaffold loads the image into the node itself, as it does on kind and minikube.
        return ["--namespace", self.namespace, *(["--default-repo", REGISTRY] if REGISTRY else [])]

    def command(self, name: str, *arguments: str) -> str:
        """The output of one of Skaffold's commands that end."""
        done = subprocess.run(
            ["skaffold", name, *arguments, *self.flags()],
            cwd=self.folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def start(self, *arguments: str) -> None:
        """`skaffold dev`, until it waits for changes."""
        with self.output.open("wb") as log:
            self.process = subprocess.Popen(
                ["skaffold", "dev", *arguments, *self.flags()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.await_rest(0)

    def log(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def rests(self) -> int:
        """How often the loop came to wait for changes."""
        return self.log().count("Watching for changes...")

    def await_rest(self, after: int) -> None:
        """Until the loop has come to rest more than `after` times."""

        def rested() -> bool:
            assert self.process
            assert self.process.poll() is None, self.log()[-3000:]
            return self.rests() > after

        until(rested, 300, "Skaffold waits for changes")

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(120)

    def remove(self) -> None:
        if self.process and self.process.poll() is None:
            self.interrupt()
        print(self.log()[-5000:])  # shown with a test that failed
        run("kubectl", "delete", "namespace", self.namespace, "--wait=false")
        shutil.rmtree(self.folder)
        self.output.unlink(missing_ok=True)

    # --- what a developer does -----------------------------------------------------------------------

    def read(self, path: str) -> str:
        return (self.folder / path).read_text()

    def save(self, path: str, text: str) -> None:
        """As editors do: the whole file at once."""
        draft = self.folder.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self.folder / path)

    def page(self, path: str) -> str:
        """What a browser gets from the ingress; empty while there is no answer."""
        ingress = os.environ.get("INGRESS", "127.0.0.1")
        try:
            return self.browser.get(f"https://{ingress}{path}", headers={"Host": HOST}, timeout=10).text
        except requests.ConnectionError:
            return ""

    def kubectl(self, *arguments: str) -> str:
        return run("kubectl", "--namespace", self.namespace, *arguments).stdout

    def shows(self, path: str, text: str) -> bool:
        return text in self.page(path)

    def has_table(self, name: str) -> bool:
        sql = f"SELECT to_regclass('{name}') IS NOT NULL"
        command = ("psql", "--username", "django", "--tuples-only", "--no-align", "--command", sql)
        return self.kubectl("exec", "shop-postgres-0", "--container", "postgres", "--", *command).strip() == "t"

    def image(self) -> str:
        return self.kubectl(
            "get", "deployment/shop-web", "--output", "jsonpath={.spec.template.spec.containers[0].image}"
        )


def seconds_until(condition: Callable[[], bool], limit: float, what: str) -> float:
    started = time.monotonic()
    until(condition, limit, what)
    return time.monotonic() - started
