"""Runs the chart's nginx in Docker: its image, rendered configuration and command."""

import json
import re
import secrets
import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.processes import answers, wait_until
from tests.support.render import objects

RESOLV_CONF = "nameserver 127.0.0.1\nsearch shops.svc.cluster.local\n"


class Upstream(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A fake Gunicorn: returns the headers of each request, or closes the connection if its path is in `lose`."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Handler)
        path.chmod(0o666)
        self.requests: list[tuple[int, str, str]] = []  # connection, method, path
        self.connections = 0
        self.closed: dict[int, float] = {}  # monotonic time at which nginx closed each connection
        self.lose: set[str] = set()  # paths whose next request gets no response


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.connection_number = self.server.connections

    def finish(self) -> None:
        self.server.closed[self.connection_number] = time.monotonic()
        super().finish()

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.connection_number, self.command, self.path))
        if self.path in self.server.lose:
            self.server.lose.remove(self.path)
            self.close_connection = True
            return
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 # http.server's name

    def log_message(self, *_: Any) -> None:
        """Does nothing: the base class fails on a Unix socket, which has no client address."""


class Nginx:
    """A running nginx: its URL, its directory and its output."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.folder = folder
        self.name = f"django-nginx-{secrets.token_hex(4)}"
        self.output = folder / "output"

    def lines(self) -> list[dict[str, Any]]:
        """Returns the access log so far."""
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]

    def stop(self) -> None:
        subprocess.run(["docker", "stop", self.name], check=False, capture_output=True)


def container(folder: Path, name: str, config: str, command: list[str]) -> list[str]:
    """Returns the Docker command that runs nginx with a configuration on the host's network."""
    for part in ("config", "run", "static", "media"):
        (folder / part).mkdir(exist_ok=True)
    (folder / "config/nginx.conf").write_text(config)
    (folder / "resolv.conf").write_text(RESOLV_CONF)
    mounts = {
        "config": "/etc/nginx/chart",
        "resolv.conf": "/etc/resolv.conf",
        "run": "/run/gunicorn",
        "static": "/srv/www/static",
        "media": "/srv/www/media",
    }
    volumes = [f"--volume={folder / part}:{target}:ro" for part, target in mounts.items()]
    image = rendered()["containers"]["nginx"]["image"]
    options = ["--rm", f"--name={name}", "--network=host", "--read-only", "--tmpfs=/tmp:mode=1777", "--user=101"]
    return ["docker", "run", *options, *volumes, image, *command]


def rendered(**values: Any) -> dict[str, Any]:
    """Returns nginx's rendered configuration, and the containers of the web pod by name."""
    found = objects(**values)
    pod = found["Deployment", "shop-web"]["spec"]["template"]["spec"]
    config = found["ConfigMap", "shop-nginx"]["data"]["nginx.conf"]
    return {"config": config, "containers": {each["name"]: each for each in pod["containers"]}}


def check(folder: Path, **values: Any) -> subprocess.CompletedProcess[str]:
    """Runs `nginx -t` on the rendered configuration."""
    chart = rendered(**values)
    shell, option, script = chart["containers"]["nginx"]["command"]
    name = f"django-nginx-{secrets.token_hex(4)}"
    command = container(folder, name, chart["config"], [shell, option, script.replace("exec nginx", "exec nginx -t")])
    return subprocess.run(command, check=False, capture_output=True, text=True)


@contextmanager
def running(folder: Path, **values: Any) -> Iterator[tuple[Nginx, Upstream]]:
    """Runs nginx and its upstream; yields both."""
    nginx, chart = Nginx(folder), rendered(**values)
    config = re.sub(r"(listen (?:\[::\]:)?)8080", rf"\g<1>{nginx.url.rpartition(':')[2]}", chart["config"])
    config = re.sub(r"(listen (?:\[::\]:)?)8003", rf"\g<1>{free_port()}", config)
    command = container(folder, nginx.name, config, chart["containers"]["nginx"]["command"])
    upstream = Upstream(folder / "run/gunicorn.sock")
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with nginx.output.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: answers(nginx.url) or process.poll() is not None, "nginx answers")
        assert process.poll() is None, nginx.output.read_text()
        yield nginx, upstream
    finally:
        nginx.stop()
        process.wait(60)
        upstream.shutdown()
        upstream.server_close()


def docker_runs() -> bool:
    return (
        bool(shutil.which("docker"))
        and not subprocess.run(["docker", "version"], check=False, capture_output=True).returncode
    )


needs_docker = pytest.mark.skipif(not docker_runs(), reason="Docker is not running")
