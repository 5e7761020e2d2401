"""The whole service, as `make run` starts it, and a browser in front of it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Response

from tests.support import ROOT
from tests.support.devserver import Service, clean_environment
from tests.support.people import MAKE_PEOPLE, PEOPLE, READER, STAFF, log_in
from tests.support.ports import free_port
from tests.support.processes import answers, wait_until

SHELL = ("shell", "--verbosity=0", "--command")
CLEAR_REPORTS = """
from datetime import timedelta
from django.core.cache import cache
from service.reports import daily
from service.reports.models import DailyReport
DailyReport.objects.all().delete()"""
MAKE_REPORTS = "any(daily.generate(daily.today() - timedelta(days=back))[1] is None for back in range(1, 31))"


@dataclass
class Troubles:
    """What a page should never do, of all pages of a test."""

    found: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        # A page that answers 403 or 404 says so here too; for all else there is `answered`.
        if message.type == "error" and not message.text.startswith("Failed to load resource: the server responded"):
            self.found.append(message.text)

    def answered(self, response: Response) -> None:
        if response.status >= 400 and response.request.resource_type not in ("document", "fetch"):
            self.found.append(f"{response.status} {response.url}")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A run that ends with status 0 when it is asked to."""
    folder = tmp_path_factory.mktemp("run")
    port = free_port()
    run = Service(url=f"http://127.0.0.1:{port}", data=folder / "data", output=folder / "output")
    command = [sys.executable, "-m", "devserver.run", "--port", str(port), "--data", str(run.data)]
    with run.output.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=clean_environment(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        run.wait_for(r"\nReady ")
        wait_until(lambda: answers(f"{run.url}/readyz"))
        yield run
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(60)
    assert status == 0, run.printed()


@pytest.fixture(scope="session")
def base_url(service: Service) -> str:
    return service.url


@pytest.fixture(scope="session")
def reset_link(service: Service) -> str:
    """A link to a new password that nobody has used; everybody of PEOPLE exists by then."""
    return f"/accounts/password/reset/{service.manage(*SHELL, MAKE_PEOPLE).strip()}/"


@pytest.fixture(scope="session")
def unused_people(reset_link: str) -> Iterator[str]:
    return iter(PEOPLE[4:])


@pytest.fixture
def person(unused_people: Iterator[str]) -> str:
    """The name of somebody whom no other test uses."""
    return next(unused_people)


@pytest.fixture(scope="session")
def sessions(browser: Browser, base_url: str, reset_link: str) -> Callable[[str], Any]:
    """The cookies of somebody who has logged in; one login serves all tests."""
    known: dict[str, Any] = {}

    def cookies(name: str) -> Any:
        if name not in known:
            with browser.new_context(base_url=base_url) as context:
                log_in(context.new_page(), name)
                known[name] = context.cookies()
        return known[name]

    return cookies


@pytest.fixture
def as_reader(context: BrowserContext, sessions: Callable[[str], Any]) -> None:
    context.add_cookies(sessions(READER))


@pytest.fixture
def as_staff(context: BrowserContext, sessions: Callable[[str], Any]) -> None:
    context.add_cookies(sessions(STAFF))


@pytest.fixture(scope="session")
def caught_up(service: Service) -> None:
    """Beat has made yesterday's report once at its start, and will not come between."""
    service.wait_for("daily_report_generated")


@pytest.fixture
def no_reports(service: Service, caught_up: None, reset_link: str) -> None:
    service.manage(*SHELL, f"{CLEAR_REPORTS}; cache.clear()")


@pytest.fixture
def reports(service: Service, caught_up: None, reset_link: str) -> None:
    """A report of each of the last thirty days."""
    service.manage(*SHELL, f"{CLEAR_REPORTS}; {MAKE_REPORTS}; cache.clear()")


@pytest.fixture(autouse=True)
def troubles(context: BrowserContext) -> Iterator[Troubles]:
    """No page of any test breaks the content security policy, fails in a script or misses a file."""
    troubles = Troubles()
    context.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error(`${e.violatedDirective}: ${e.blockedURI}`))"
    )
    context.on("console", troubles.heard)
    context.on("weberror", lambda error: troubles.found.append(str(error.error)))
    context.on("response", troubles.answered)
    yield troubles
    assert troubles.found == []


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The machine's own Chromium, if there is one; root can't have the sandbox."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    own = shutil.which("chromium")
    return browser_type_launch_args | {"args": arguments} | ({"executable_path": own} if own else {})


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    # Colours are measured: none should be on its way to another.
    return browser_context_args | {"reduced_motion": "reduce"}
