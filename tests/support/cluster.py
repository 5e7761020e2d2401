"""A release of the chart on the cluster of the current kube context, and what a test does with it."""

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

from tests.support import ROOT
from tests.support.processes import TIMEOUT, wait_until

CHART = ROOT / "charts" / "django"
# Where images are pushed to and pulled from, and the tag of the service's image there.
REGISTRY = os.environ.get("REGISTRY", "")
TAG = os.environ.get("TAG", yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"])
# The address of the cluster's ingress controller.
INGRESS = os.environ.get("INGRESS", "127.0.0.1")
# A mail goes out at once, or within six minutes if its task was lost: docs/decisions/0003.
MAIL_SECONDS = 400
T = TypeVar("T")


class CommandError(AssertionError):
    """A command ended with an error."""


def run(
    *command: str, stdin: str | None = None, check: bool = True, timeout: float = 900, **more: Any
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True, timeout=timeout, **more)
    if check and done.returncode:
        raise CommandError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done


def until(condition: Callable[[], T | None], what: str, seconds: float = TIMEOUT) -> T:
    """The condition's first true answer; AssertionError when none comes in time.

    A question that fails, as one may with the network, is asked again.
    """

    def ask() -> T | None:
        try:
            return condition()
        except (CommandError, requests.RequestException) as error:
            print(error)  # shown with a test that failed
            return None

    return wait_until(ask, what, seconds, pause=0.2)  # a question to the cluster is dear


def image(tag: str, dockerfile: str, base: str | None = None) -> str:
    """Builds and pushes an image from lines on top of the service's image or of `base`; returns its tag."""
    tag = f"{TAG}-{tag}"
    lines = f"FROM {base or f'{REGISTRY}/service:{TAG}'}\n{dockerfile}"
    run("docker", "build", "--quiet", "--tag", f"{REGISTRY}/service:{tag}", "-", stdin=lines)
    run("docker", "push", "--quiet", f"{REGISTRY}/service:{tag}")
    return tag


class Namespace:
    """A namespace of its own, which admits restricted pods only and holds the release `shop`."""

    name = "shop"

    def __init__(self) -> None:
        self.namespace = f"django-test-{secrets.token_hex(3)}"
        run("kubectl", "create", "namespace", self.namespace)
        run("kubectl", "label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")

    def remove(self) -> None:
        """All of it, at once: what ends slowly would keep the next release's processors."""
        run("kubectl", "delete", "namespace", self.namespace, "--wait=false")
        self.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin).stdout

    def get(self, *what: str) -> Any:
        return json.loads(self.kubectl("get", *what, "--output", "json"))

    def complaints(self) -> str:
        """Its warnings and errors, for a test that failed: the namespace is gone when its failure is read."""
        here = ("kubectl", "--namespace", self.namespace)
        every = ("--selector", f"app.kubernetes.io/instance={self.name}", "--all-containers", "--prefix", "--tail=-1")
        logs = run(*here, "logs", *every, "--max-log-requests=50", "--ignore-errors", check=False).stdout.splitlines()
        wrong = [
            line[:500] for line in logs if re.search("(?i)error|warn|fatal", line) and '"level": "info"' not in line
        ]
        events = run(*here, "get", "events", "--field-selector", "type!=Normal", check=False).stdout
        pods = run(*here, "get", "pods", check=False).stdout
        return "\n".join([pods, events, *wrong[-60:]])

    def psql(self, sql: str) -> str:
        command = ("psql", "--username", "django", "--tuples-only", "--no-align", "--command", sql)
        return self.kubectl("exec", f"{self.name}-postgres-0", "--container", "postgres", "--", *command).strip()

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # a machine's own certificate authorities would outdo the next line
        session.verify = False  # the ingress controller's own certificate, as none is given
        return session


class Release(Namespace):
    """A release of the chart, and the people who use it."""

    def __init__(self) -> None:
        assert REGISTRY, "Set REGISTRY to a registry that docker pushes to and the cluster pulls from."
        super().__init__()
        self.host = f"{self.namespace}.example.test"
        self.url = f"https://{self.host}"

    # --- Helm and its pods -------------------------------------------------------------------------

    def flags(self, values: dict[str, Any]) -> list[str]:
        # Always: the node keeps the image of a former run under the same tag.
        image = {"image.repository": f"{REGISTRY}/service", "image.tag": TAG, "image.pullPolicy": "Always"}
        all_values = {"host": self.host} | image | values
        return [part for key, value in all_values.items() for part in ("--set-json", f"{key}={json.dumps(value)}")]

    def install(self, *options: str, check: bool = True, **values: Any) -> subprocess.CompletedProcess[str]:
        """`helm upgrade --install --wait`; `web__replicas=2` is `web.replicas`."""
        chosen = {key.replace("__", "."): value for key, value in values.items()}
        command = ["helm", "upgrade", "--install", self.name, str(CHART), "--namespace", self.namespace, "--wait"]
        timeout = [] if "--timeout" in options else ["--timeout", "300s"]
        return run(*command, *timeout, *options, *self.flags(chosen), check=check)

    def helm(self, *arguments: str) -> str:
        return run("helm", *arguments, "--namespace", self.namespace).stdout

    def pods(self, component: str) -> list[Any]:
        """The component's pods that aren't ending, oldest first."""
        labels = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        found = [
            pod for pod in self.get("pods", "--selector", labels)["items"] if "deletionTimestamp" not in pod["metadata"]
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def pod(self, component: str) -> str:
        """The name of the component's newest pod."""
        return str(self.pods(component)[-1]["metadata"]["name"])

    def restarts(self, component: str) -> int:
        kinds = ("initContainerStatuses", "containerStatuses")
        statuses = [status for pod in self.pods(component) for kind in kinds for status in pod["status"].get(kind, [])]
        return sum(status["restartCount"] for status in statuses)

    @contextmanager
    def without(self, server: str) -> Iterator[None]:
        """While the block runs the server's pod is gone; its volume stays."""
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
        """The output of Django's shell in a pod."""
        pod = self.pod(component)
        command = ("python", "manage.py", "shell", "--no-imports", "--command", code)
        return self.kubectl("exec", pod, "--container", component, "--", *command)

    def secret(self, key: str) -> str:
        template = f"{{{{.data.{key} | base64decode}}}}"
        return self.kubectl("get", "secret", f"{self.name}-secret", "--output", f"go-template={template}")

    def status(self, pod: str, port: int, path: str) -> int:
        """The status that a web pod's port answers, asked in the pod."""
        code = (
            f"import http.client as h; c = h.HTTPConnection('127.0.0.1', {port}, timeout=5);"
            f" c.request('GET', '{path}'); print(c.getresponse().status)"
        )
        return int(self.kubectl("exec", pod, "--container", "web", "--", "python", "-c", code))

    def health(self, path: str) -> int:
        """The status that the web pod's health listener answers."""
        return self.status(self.pod("web"), 8001, path)

    def migrations_run(self) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.pods("migrate")}

    # --- people ----------------------------------------------------------------------------------

    def post(self, session: requests.Session, path: str, data: dict[str, str], **more: Any) -> requests.Response:
        """A form sent as a browser sends it."""
        return session.send(self.form(session, path, data, **more), verify=False, timeout=60)

    def form(self, session: requests.Session, path: str, data: dict[str, str], **more: Any) -> requests.PreparedRequest:
        """What a browser would send."""
        until(lambda: session.get(self.url + path).ok, f"{path} is shown")
        token = session.cookies.get("csrftoken", domain=self.host) or ""
        headers = {"Referer": self.url + path, "X-CSRFToken": token}
        return session.prepare_request(requests.Request("POST", self.url + path, headers, data=data, **more))

    def person(self, name: str | None = None) -> requests.Session:
        """Somebody who signed up and logged in."""
        name = name or f"person-{secrets.token_hex(4)}"
        session, password = self.session(), "correct-horse-battery"
        form = {"username": name, "email": f"{name}@example.org", "password1": password, "password2": password}
        signed_up = self.post(session, "/accounts/sign-up/", form)
        assert signed_up.url.endswith("/accounts/login/"), signed_up.text
        logged_in = self.post(session, "/accounts/login/", {"username": name, "password": password})
        assert logged_in.url.endswith("/accounts/profile/"), logged_in.text
        return session

    def await_mail(self, address: str) -> None:
        """Until a mail to that address is in the worker's log, which has the mails where there is no mail server."""
        log = ("logs", self.pod("worker"), "--container", "worker")
        until(lambda: address in self.kubectl(*log), "the mail is in the worker's log", MAIL_SECONDS)

    def superuser(self, password: str, name: str = "admin") -> requests.Session:
        session = self.session()
        logged_in = self.post(session, "/accounts/login/", {"username": name, "password": password})
        assert logged_in.url.endswith("/accounts/profile/"), logged_in.text
        return session

    def knows(self, person: requests.Session) -> bool:
        """Whether the person is shown their profile, and not asked to log in."""
        page = person.get(f"{self.url}/accounts/profile/", timeout=30)
        print(page.status_code, page.url)  # shown with a test that failed
        return (page.status_code, page.url) == (200, f"{self.url}/accounts/profile/")

    def await_ingress(self, path: str = "") -> None:
        """Until the ingress controller has seen that a pod is ready: seconds after Kubernetes has."""
        until(lambda: self.session().get(self.url + path).ok, "the ingress controller knows the release")

    @contextmanager
    def load(self, rate: float = 10) -> Iterator[Counter[str]]:
        """Pages at a constant rate until the block ends, one in three a POST; counts each outcome.

        As a browser would, it asks for the stylesheet that a page names.
        """
        outcomes: Counter[str] = Counter()
        stop = threading.Event()
        started = time.monotonic()
        turns = itertools.count()

        def send(person: requests.Session, method: str, path: str, **more: Any) -> str:
            try:
                answer = person.request(method, self.url + path, timeout=30, allow_redirects=False, **more)
            except requests.RequestException as error:
                outcomes[f"{method} {path} {type(error).__name__} {error}"] += 1
                return ""
            outcomes[f"{method} {path} {answer.status_code} {answer.headers.get('Location', '')}"] += 1
            return answer.text

        def visit(person: requests.Session) -> None:
            for turn in turns:
                if stop.wait(max(0.0, started + turn / rate - time.monotonic())):
                    return
                if turn % 3 == 0:
                    token = person.cookies.get("csrftoken", domain=self.host) or ""
                    headers = {"Referer": f"{self.url}/accounts/profile/", "X-CSRFToken": token}
                    send(person, "POST", "/accounts/profile/", data={"display_name": f"turn {turn}"}, headers=headers)
                elif style := stylesheet(send(person, "GET", "/accounts/profile/")):
                    send(person, "GET", style)

        threads = [threading.Thread(target=visit, args=(self.person(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield outcomes
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def stylesheet(page: str) -> str:
    """The path of the first stylesheet that a page names."""
    return page.partition('rel="stylesheet" href="')[2].partition('"')[0]


def failures(outcomes: Counter[str]) -> dict[str, int]:
    """What of a load was not answered as it should be: a page shown, a form saved."""
    return {what: count for what, count in outcomes.items() if not what.endswith((" 200 ", " 302 /accounts/profile/"))}
