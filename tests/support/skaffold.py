"""Skaffold in a copy of the project, as a developer uses it: save a file, look at the result."""

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
from tests.support.cluster import INGRESS, REGISTRY, Namespace, run, wait_until
from tests.support.processes import TIMEOUT

HOST = "shop.localhost"


class Skaffold(Namespace):
    """A namespace and a copy of the project, in which Skaffold runs."""

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
        # Without --default-repo, Skaffold pushes to the registry of bin/kind, or loads the image into the node.
        return ["--namespace", self.namespace, *(["--default-repo", REGISTRY] if REGISTRY else [])]

    def command(self, name: str, *arguments: str) -> str:
        """Run a Skaffold command and return its output."""
        return run("skaffold", name, *arguments, *self.flags(), cwd=self.folder).stdout

    def start(self, *arguments: str) -> None:
        """Start `skaffold dev` and wait until it watches for changes."""
        with self.output.open("wb") as log:
            self.process = subprocess.Popen(
                ["skaffold", "dev", *arguments, *self.flags()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_for_watching(0)

    def log(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def watching_count(self) -> int:
        """Return the number of times that Skaffold finished its work and watched for changes again."""
        return self.log().count("Watching for changes...")

    def wait_for_watching(self, after: int) -> None:
        """Wait until `watching_count` is greater than `after`. Raises AssertionError if Skaffold exits."""

        def watching() -> bool:
            assert self.process
            assert self.process.poll() is None, self.log()[-3000:]
            return self.watching_count() > after

        wait_until(watching, "Skaffold watches for changes", 900)

    def interrupt(self) -> int:
        """Send Ctrl-C and return the exit status. After 120 s, kill Skaffold and raise TimeoutExpired."""
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
            print(self.log()[-5000:])  # pytest shows it for failed tests
            super().remove()
            shutil.rmtree(self.folder)
            self.output.unlink(missing_ok=True)

    # --- actions of a developer ----------------------------------------------------------------------

    def read(self, path: str) -> str:
        return (self.folder / path).read_text()

    def save(self, path: str, text: str) -> None:
        """Replace a file atomically, as editors do."""
        draft = self.folder.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self.folder / path)

    def page(self, path: str) -> str:
        """Return the page that the ingress serves, or an empty string on a connection error."""
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
    """Wait for the condition and return the seconds that it took."""
    started = time.monotonic()
    wait_until(condition, what, limit)
    return time.monotonic() - started
