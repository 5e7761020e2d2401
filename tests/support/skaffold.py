"""Skaffold in a copy of the project, and what a developer does with it: save a file, look at the result."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import requests

from tests.support import ROOT
from tests.support.cluster import INGRESS, REGISTRY, Namespace, run, until
from tests.support.processes import TIMEOUT

HOST = "shop.localhost"


class Skaffold(Namespace):
    """A namespace, a copy of the project whose files may be changed, and Skaffold's commands in both."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="loop-"))
        files = run("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        self.browser = self.session()
        self.process: subprocess.Popen[bytes] | None = None
        self.output = self.folder.with_suffix(".log")

    def flags(self) -> list[str]:
        # Without a registry Skaffold pushes to the one that bin/kind names, or loads the image into the node itself.
        return ["--namespace", self.namespace, *(["--default-repo", REGISTRY] if REGISTRY else [])]

    def command(self, name: str, *arguments: str) -> str:
        """The output of one of Skaffold's commands that end."""
        return run("skaffold", name, *arguments, *self.flags(), cwd=self.folder).stdout

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

        until(rested, "Skaffold waits for changes", 900)

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code. What hasn't ended after two minutes is killed, and that is an error."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(120)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)

    def remove(self) -> None:
        try:
            if self.process and self.process.poll() is None:
                self.interrupt()
        finally:
            print(self.log()[-5000:])  # shown with a test that failed
            super().remove()
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
        try:
            return self.browser.get(f"https://{INGRESS}{path}", headers={"Host": HOST}, timeout=10).text
        except requests.RequestException:
            return ""

    def shows(self, path: str, text: str) -> bool:
        return text in self.page(path)

    def has_table(self, name: str) -> bool:
        return self.psql(f"SELECT to_regclass('{name}') IS NOT NULL") == "t"

    def uids(self, *what: str) -> list[str]:
        return self.kubectl("get", *what, "--output=jsonpath={.items[*].metadata.uid}").split()

    def image(self) -> str:
        return self.kubectl(
            "get", "deployment/shop-web", "--output", "jsonpath={.spec.template.spec.containers[0].image}"
        )


def seconds_until(condition: Callable[[], bool], what: str, limit: float = TIMEOUT) -> float:
    started = time.monotonic()
    until(condition, what, limit)
    return time.monotonic() - started
