"""The service as `make run` starts it, and a browser."""

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
class Problems:
    """The console errors and failed requests of all pages of a test."""

    found: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        # Chromium logs failed requests here too; `on_response` checks those.
        if message.type == "error" and not message.text.startswith("Failed to load resource: the server responded"):
            self.found.append(message.text)

    def on_response(self, response: Response) -> None:
        if response.status >= 400 and response.request.resource_type not in ("document", "fetch"):
            self.found.append(f"{response.status} {response.url}")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service, which has to exit with status 0 on SIGTERM."""
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
    """Creates PEOPLE; returns an unused password reset link."""
    return f"/accounts/password/reset/{service.manage(*SHELL, MAKE_PEOPLE).strip()}/"


@pytest.fixture(scope="session")
def unused_people(reset_link: str) -> Iterator[str]:
    return iter(PEOPLE[4:])


@pytest.fixture
def person(unused_people: Iterator[str]) -> str:
    """The name of a user that no other test uses."""
    return next(unused_people)


@pytest.fixture(scope="session")
def sessions(browser: Browser, base_url: str, reset_link: str) -> Callable[[str], Any]:
    """Returns the cookies of a logged-in user; each user logs in once."""
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
def startup_reports(service: Service) -> None:
    """Beat has generated the reports that it generates at its start."""
    service.wait_for("daily_report_generated")


@pytest.fixture
def no_reports(service: Service, startup_reports: None, reset_link: str) -> None:
    service.manage(*SHELL, f"{CLEAR_REPORTS}; cache.clear()")


@pytest.fixture
def reports(service: Service, startup_reports: None, reset_link: str) -> None:
    """A report for each of the last 30 days."""
    service.manage(*SHELL, f"{CLEAR_REPORTS}; {MAKE_REPORTS}; cache.clear()")


@pytest.fixture(autouse=True)
def problems(context: BrowserContext) -> Iterator[Problems]:
    """Fails a test whose pages violate the content security policy, raise in a script or miss a file."""
    problems = Problems()
    context.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error(`${e.violatedDirective}: ${e.blockedURI}`))"
    )
    context.on("console", problems.on_console)
    context.on("weberror", lambda error: problems.found.append(str(error.error)))
    context.on("response", problems.on_response)
    yield problems
    assert problems.found == []


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The installed Chromium, if any; Chromium's sandbox does not work as root."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    own = shutil.which("chromium")
    return browser_type_launch_args | {"args": arguments} | ({"executable_path": own} if own else {})


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    # Tests measure colours, so no transitions.
    return browser_context_args | {"reduced_motion": "reduce"}
