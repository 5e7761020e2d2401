"""Installs releases of the chart on the cluster of the current kubectl context, and uses them as a client does."""

import itertools
import json
import os
import re
import secrets
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
import yaml

from tests.support import ROOT, processes
from tests.support.processes import TIMEOUT

CHART = ROOT / "charts" / "django"
# The registry for images, and the tag of the service's image.
REGISTRY = os.environ.get("REGISTRY", "")
TAG = os.environ.get("TAG", yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"])
# The address of the cluster's ingress controller.
INGRESS = os.environ.get("INGRESS", "127.0.0.1")
# Seconds. A mail is sent at once, or within six minutes if its task was lost (docs/decisions/0003).
MAIL_TIMEOUT = 400
T = TypeVar("T")


class CommandError(AssertionError):
    """A command exited with a non-zero status."""


def run(
    *command: str, stdin: str | None = None, check: bool = True, timeout: float = 900, **more: Any
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True, timeout=timeout, **more)
    if check and done.returncode:
        raise CommandError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done


def wait_until(condition: Callable[[], T | None], what: str, seconds: float = TIMEOUT) -> T:
    """Returns the first true result of `condition`. Raises AssertionError if there is none in time.

    A CommandError or RequestException counts as false, because commands and requests can fail for a moment.
    """

    def evaluate() -> T | None:
        try:
            return condition()
        except (CommandError, requests.RequestException) as error:
            print(error)  # pytest shows it for failed tests
            return None

    return processes.wait_until(evaluate, what, seconds, pause=0.2)  # requests to the cluster are slow


def build_image(tag: str, dockerfile: str, base: str | None = None) -> str:
    """Builds and pushes an image from `base`, by default the service's image, and Dockerfile lines. Returns its tag."""
    tag = f"{TAG}-{tag}"
    lines = f"FROM {base or f'{REGISTRY}/service:{TAG}'}\n{dockerfile}"
    run("docker", "build", "--quiet", "--tag", f"{REGISTRY}/service:{tag}", "-", stdin=lines)
    run("docker", "push", "--quiet", f"{REGISTRY}/service:{tag}")
    return tag


class Namespace:
    """A new namespace for the release `shop` that enforces the Pod Security Standard `restricted`."""

    name = "shop"

    def __init__(self) -> None:
        self.namespace = f"django-test-{secrets.token_hex(3)}"
        run("kubectl", "create", "namespace", self.namespace)
        run("kubectl", "label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")

    def remove(self) -> None:
        """Deletes the namespace. Pods are killed, because terminating ones would take CPU time from the next test."""
        run("kubectl", "delete", "namespace", self.namespace, "--wait=false")
        self.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin).stdout

    def get(self, *what: str) -> Any:
        return json.loads(self.kubectl("get", *what, "--output", "json"))

    def diagnostics(self) -> str:
        """Returns the pods, warning events, and warnings and errors of the logs, for the report of a failed test."""
        here = ("kubectl", "--namespace", self.namespace)
        options = ("--selector", f"app.kubernetes.io/instance={self.name}", "--all-containers", "--prefix", "--tail=-1")
        logs = run(*here, "logs", *options, "--max-log-requests=50", "--ignore-errors", check=False).stdout.splitlines()
        problems = [
            line[:500] for line in logs if re.search("(?i)error|warn|fatal", line) and '"level": "info"' not in line
        ]
        events = run(*here, "get", "events", "--field-selector", "type!=Normal", check=False).stdout
        pods = run(*here, "get", "pods", check=False).stdout
        return "\n".join([pods, events, *problems[-60:]])

    def psql(self, sql: str) -> str:
        command = ("psql", "--username", "django", "--tuples-only", "--no-align", "--command", sql)
        return self.kubectl("exec", f"{self.name}-postgres-0", "--container", "postgres", "--", *command).strip()

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # REQUESTS_CA_BUNDLE would override the next line
        session.verify = False  # the ingress controller serves its default certificate
        return session


class Release(Namespace):
    """A release of the chart and its users."""

    def __init__(self) -> None:
        assert REGISTRY, "REGISTRY is not set. Docker must be able to push to it, and the cluster to pull from it."
        super().__init__()
        self.host = f"{self.namespace}.example.test"
        self.url = f"https://{self.host}"

    # --- Helm and Kubernetes -----------------------------------------------------------------------

    def flags(self, values: dict[str, Any]) -> list[str]:
        # Always, because the node may have the image of an earlier run with the same tag.
        image = {"image.repository": f"{REGISTRY}/service", "image.tag": TAG, "image.pullPolicy": "Always"}
        all_values = {"host": self.host} | image | values
        return [part for key, value in all_values.items() for part in ("--set-json", f"{key}={json.dumps(value)}")]

    def install(self, *options: str, check: bool = True, **values: Any) -> subprocess.CompletedProcess[str]:
        """Runs `helm upgrade --install --wait`; `web__replicas=2` sets `web.replicas`."""
        chosen = {key.replace("__", "."): value for key, value in values.items()}
        command = ["helm", "upgrade", "--install", self.name, str(CHART), "--namespace", self.namespace, "--wait"]
        timeout = [] if "--timeout" in options else ["--timeout", "300s"]
        return run(*command, *timeout, *options, *self.flags(chosen), check=check)

    def helm(self, *arguments: str) -> str:
        return run("helm", *arguments, "--namespace", self.namespace).stdout

    def pods(self, component: str) -> list[Any]:
        """Returns the pods of a component that are not terminating, oldest first."""
        labels = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        found = [
            pod for pod in self.get("pods", "--selector", labels)["items"] if "deletionTimestamp" not in pod["metadata"]
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def pod(self, component: str) -> str:
        """Returns the name of the newest pod of a component."""
        return str(self.pods(component)[-1]["metadata"]["name"])

    def restart_count(self, component: str) -> int:
        kinds = ("initContainerStatuses", "containerStatuses")
        statuses = [status for pod in self.pods(component) for kind in kinds for status in pod["status"].get(kind, [])]
        return sum(status["restartCount"] for status in statuses)

    @contextmanager
    def stopped(self, server: str) -> Iterator[None]:
        """Scales `postgres` or `valkey` to zero pods for the block; the volume remains."""
        what = f"statefulset/{self.name}-{server}"
        self.kubectl("scale", what, "--replicas=0")
        labels = f"app.kubernetes.io/component={server}"
        try:
            self.kubectl("wait", "pod", "--selector", labels, "--for=delete", "--timeout=180s")
            yield
        finally:
            self.kubectl("scale", what, "--replicas=1")
            self.kubectl("rollout", "status", what, "--timeout=180s")

    def python(self, code: str, component: str = "web") -> str:
        """Runs code in Django's shell in a pod and returns its output."""
        pod = self.pod(component)
        command = ("python", "manage.py", "shell", "--no-imports", "--command", code)
        return self.kubectl("exec", pod, "--container", component, "--", *command)

    def secret(self, key: str) -> str:
        template = f"{{{{.data.{key} | base64decode}}}}"
        return self.kubectl("get", "secret", f"{self.name}-secret", "--output", f"go-template={template}")

    def status(self, pod: str, port: int, path: str) -> int:
        """Returns the status of a GET request to a port of a web pod, sent inside the pod."""
        code = (
            f"import http.client as h; c = h.HTTPConnection('127.0.0.1', {port}, timeout=5);"
            f" c.request('GET', '{path}'); print(c.getresponse().status)"
        )
        return int(self.kubectl("exec", pod, "--container", "web", "--", "python", "-c", code))

    def health_status(self, path: str) -> int:
        """Returns the status of a GET request to the health listener of the newest web pod."""
        return self.status(self.pod("web"), 8001, path)

    def migration_pod_uids(self) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.pods("migrate")}

    # --- users -----------------------------------------------------------------------------------

    def post(self, session: requests.Session, path: str, data: dict[str, str], **more: Any) -> requests.Response:
        """Sends a form with the CSRF token of its page."""
        return session.send(self.prepare_post(session, path, data, **more), verify=False, timeout=60)

    def prepare_post(
        self, session: requests.Session, path: str, data: dict[str, str], **more: Any
    ) -> requests.PreparedRequest:
        """Returns the request of `post`, not yet sent."""
        wait_until(lambda: session.get(self.url + path).ok, f"{path} returns a page")
        token = session.cookies.get("csrftoken", domain=self.host) or ""
        headers = {"Referer": self.url + path, "X-CSRFToken": token}
        return session.prepare_request(requests.Request("POST", self.url + path, headers, data=data, **more))

    def sign_up(self, name: str | None = None) -> requests.Session:
        """Signs up a new user, logs in, and returns the session."""
        name = name or f"user-{secrets.token_hex(4)}"
        session, password = self.session(), "correct-horse-battery"
        form = {"username": name, "email": f"{name}@example.org", "password1": password, "password2": password}
        signed_up = self.post(session, "/accounts/sign-up/", form)
        assert signed_up.url.endswith("/accounts/login/"), signed_up.text
        logged_in = self.post(session, "/accounts/login/", {"username": name, "password": password})
        assert logged_in.url.endswith("/accounts/profile/"), logged_in.text
        return session

    def wait_for_mail(self, address: str) -> None:
        """Waits until a mail to the address is in the worker's log: without EMAIL_URL, mails are written there."""
        log = ("logs", self.pod("worker"), "--container", "worker")
        wait_until(lambda: address in self.kubectl(*log), "the mail is in the worker's log", MAIL_TIMEOUT)

    def log_in(self, name: str, password: str) -> requests.Session:
        """Logs in and returns the session."""
        session = self.session()
        logged_in = self.post(session, "/accounts/login/", {"username": name, "password": password})
        assert logged_in.url.endswith("/accounts/profile/"), logged_in.text
        return session

    def is_logged_in(self, session: requests.Session) -> bool:
        """Returns whether the profile page is returned without a redirect to the login page."""
        page = session.get(f"{self.url}/accounts/profile/", timeout=30)
        print(page.status_code, page.url)  # pytest shows it for failed tests
        return (page.status_code, page.url) == (200, f"{self.url}/accounts/profile/")

    def wait_for_ingress(self, path: str = "") -> None:
        """Waits until the ingress controller routes to the release, some seconds after its pods are ready."""
        wait_until(lambda: self.session().get(self.url + path).ok, "the ingress controller routes to the release")

    @contextmanager
    def load(self, rate: float = 10) -> Iterator[Counter[str]]:
        """Sends requests at a constant rate during the block, one in three a POST, and counts their outcomes.

        After each page it requests the page's stylesheet, as a browser does.
        """
        outcomes: Counter[str] = Counter()
        stop = threading.Event()
        started = time.monotonic()
        turns = itertools.count()

        def send(session: requests.Session, method: str, path: str, **more: Any) -> str:
            try:
                response = session.request(method, self.url + path, timeout=30, allow_redirects=False, **more)
            except requests.RequestException as error:
                outcomes[f"{method} {path} {type(error).__name__} {error}"] += 1
                return ""
            outcomes[f"{method} {path} {response.status_code} {response.headers.get('Location', '')}"] += 1
            return response.text

        def visit(session: requests.Session) -> None:
            for turn in turns:
                if stop.wait(max(0.0, started + turn / rate - time.monotonic())):
                    return
                if turn % 3 == 0:
                    token = session.cookies.get("csrftoken", domain=self.host) or ""
                    headers = {"Referer": f"{self.url}/accounts/profile/", "X-CSRFToken": token}
                    send(session, "POST", "/accounts/profile/", data={"display_name": f"turn {turn}"}, headers=headers)
                elif style := stylesheet(send(session, "GET", "/accounts/profile/")):
                    send(session, "GET", style)

        threads = [threading.Thread(target=visit, args=(self.sign_up(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield outcomes
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def stylesheet(page: str) -> str:
    """Returns the path of the first stylesheet of a page."""
    return page.partition('rel="stylesheet" href="')[2].partition('"')[0]


def failures(outcomes: Counter[str]) -> dict[str, int]:
    """Returns the outcomes of `Release.load` other than a page (200) or a saved form (302)."""
    expected = (" 200 ", " 302 /accounts/profile/")
    return {outcome: count for outcome, count in outcomes.items() if not outcome.endswith(expected)}
