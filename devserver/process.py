"""Child processes that never outlive their parent, even if the parent is killed."""

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
    """An error whose message is shown to the user: what is wrong, where, and what to do."""


def unused_port() -> int:
    """Return a TCP port of 127.0.0.1 that is not in use now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def secret(path: Path) -> str:
    """Return the secret stored in `path`: 64 URL-safe characters, generated on first use, file mode 0600."""
    with suppress(FileNotFoundError):
        return path.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renaming a complete file is atomic: an interrupted run leaves no partial secret.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(48))
    draft.rename(path)
    return path.read_text()


def last_lines(log: Path) -> str:
    """Return the last 15 lines of a log file with a heading, to be appended to an error message."""
    lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
    return "".join([f" Last lines of {log}:", *(f"\n    {line}" for line in lines)])


def spawn(  # noqa: PLR0913 # the options of a process
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    parent_death_signal: signal.Signals = signal.SIGKILL,
    stdin: int = subprocess.DEVNULL,
    unprivileged: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command` in a new session, so that Ctrl-C reaches only the parent. Output goes to `log`, if given.

    On Linux the kernel sends `parent_death_signal` to the child when the thread that called this function ends.
    With `unprivileged`, root starts the process as nobody; raises DevServerError if that is not possible.
    """
    prefix: list[str] = []
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv:
        prefix = [setpriv, "--pdeathsig", parent_death_signal.name.removeprefix("SIG")]
    if unprivileged and os.geteuid() == 0:
        if not setpriv:
            raise DevServerError(
                f"{Path(command[0]).name} does not run as root, and setpriv, which would start it as nobody, is "
                "missing. Install the package util-linux, or run as a regular user."
            )
        # dac_override lets nobody enter directories of root, such as /root. Root has this capability in Docker, too.
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
    """A child process. `stop` sends `stop_signal`, and SIGKILL after `stop_timeout` seconds.

    A `one_shot` process may exit with status 0; any other exit is an error.
    """

    name: str
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 10
    log: Path | None = None
    one_shot: bool = False

    def check(self) -> None:
        """Raise DevServerError if the process has exited unexpectedly."""
        status = self.process.poll()
        if status is not None and (status or not self.one_shot):
            raise DevServerError(f"{self.name} exited with status {status}.{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the last lines of the log, or a reference to the terminal, to be appended to an error message."""
        return last_lines(self.log) if self.log else " See its output above."

    def stop(self) -> None:
        """Stop the process and its process group, and wait for the process to exit."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self.stop_timeout)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(kw_only=True)
class Server(Child):
    """A child process that accepts connections at `url` as soon as `is_ready` returns True."""

    url: str
    is_ready: Callable[[], bool]

    def wait(self, seconds: float = 60) -> None:
        """Wait until the server is ready. Stop it and raise DevServerError if it exits or the time is over."""
        deadline = time.monotonic() + seconds
        with ExitStack() as on_error:
            on_error.callback(self.stop)
            self.check()
            while not self.is_ready():
                self.check()
                if time.monotonic() > deadline:
                    raise DevServerError(f"{self.name} was not ready within {seconds:g} s.{self.log_tail()}")
                time.sleep(0.02)
            on_error.pop_all()
