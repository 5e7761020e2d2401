"""Child processes that end with whoever started them, even when that one is killed."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534


class DevServerError(Exception):
    """What is wrong, where, and what to do: ready to be printed."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def secret(path: Path) -> str:
    """The secret kept in `path`, which is made with mode 0600 the first time: 64 characters that need no quoting."""
    with suppress(FileNotFoundError):
        return path.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when complete: a secret that was half written would be half a secret for ever.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(48))
    draft.rename(path)
    return path.read_text()


def tail(log: Path) -> str:
    """The last lines of a log, indented."""
    lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
    return "".join(f"\n    {line}" for line in lines)


def spawn(  # noqa: PLR0913 # of a process there is much to say
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    orphaned: signal.Signals = signal.SIGKILL,
    stdin: int = subprocess.DEVNULL,
    unprivileged: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, so that Ctrl-C reaches only us; its output goes to `log`, else to ours.

    Call it from a thread that lives as long as the child should: on Linux the child gets the signal `orphaned` when
    that thread ends. `unprivileged` makes root run it as nobody. Raises DevServerError when that isn't possible.
    """
    prefix: list[str] = []
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv:
        prefix = [setpriv, "--pdeathsig", orphaned.name.removeprefix("SIG")]
    if unprivileged and os.geteuid() == 0:
        if not setpriv:
            raise DevServerError(
                f"{Path(command[0]).name} refuses to run as root, and setpriv (package util-linux), which would run it "
                "as nobody, is missing. Install it, or run this as an ordinary user."
            )
        # dac_override lets nobody pass folders that only root may enter, such as root's home. Docker's root has it.
        prefix += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    if prefix:
        prefix.append("--")
    with ExitStack() as stack:
        out = stack.enter_context(log.open("wb")) if log else None
        return subprocess.Popen(
            [*prefix, *command],
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=out,
            stderr=subprocess.STDOUT if out else None,
            start_new_session=True,
        )


@dataclass(kw_only=True)
class Child:
    """A running process and the way to end it: `ending` asks it to, `grace` is how many seconds it then has.

    What it says goes to `log`, else to our terminal. One that is not `lasting` may end by itself, with status 0.
    """

    name: str
    process: subprocess.Popen[bytes]
    ending: signal.Signals = signal.SIGTERM
    grace: float = 10
    log: Path | None = None
    lasting: bool = True

    def check(self) -> None:
        """Raise DevServerError when the process has ended and should not have."""
        status = self.process.poll()
        if status is not None and (status or self.lasting):
            raise DevServerError(f"{self.name} ended with status {status}.{self.said()}")

    def said(self) -> str:
        """The last lines of the log, each on a line of its own."""
        return f" {self.log} says:{tail(self.log)}" if self.log else ""

    def stop(self) -> None:
        """End the process and all of its group, and wait until it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(self.ending)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self.grace)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(kw_only=True)
class Server(Child):
    """A child that others connect to by `url`, once `answers` says so."""

    url: str
    answers: Callable[[], bool]

    def wait(self, seconds: float = 60) -> None:
        """Return when the server answers; stop it and raise DevServerError when it ends first or takes longer."""
        try:
            self._wait(time.monotonic() + seconds)
        except BaseException:
            self.stop()
            raise

    def _wait(self, limit: float) -> None:
        self.check()
        while not self.answers():
            self.check()
            if time.monotonic() > limit:
                raise DevServerError(f"{self.name} does not answer.{self.said()}")
            time.sleep(0.02)
