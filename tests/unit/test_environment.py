"""Environment variables: errors name the variable and never contain its value."""

import os
import re
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from mainstay import environment
from tests.support import ROOT, commands, servers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", True),
        ("TRUE", True),
        ("yes", True),
        ("On", True),
        ("0", False),
        ("False", False),
        ("no", False),
        ("off", False),
    ],
)
def test_boolean_accepts_eight_words_in_any_case(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("FLAG", text)

    assert environment.boolean("FLAG", default=not value) is value


@pytest.mark.parametrize(
    "value",
    [
        "postgres//nothing",
        "mysql://a@b/c",
        "postgres://a:b@host:port/name",
        "postgres:///name",
        "postgres://[::1/x",
        "x",
    ],
)
def test_malformed_url_is_rejected_without_repeating_it(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ADDRESS", value)

    with pytest.raises(ImproperlyConfigured, match=r"^ADDRESS must be a URL of the form postgres://") as raised:
        environment.url("ADDRESS", ("postgres",))

    assert value == "x" or value not in str(raised.value)


@pytest.mark.parametrize("value", ["-1", "many", "1.5", "0"])
def test_malformed_or_too_small_integer_is_rejected(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NUMBER", value)

    with pytest.raises(ImproperlyConfigured, match=r"^NUMBER must be an integer of at least 1\.$"):
        environment.integer("NUMBER", default=4, minimum=1)


def test_empty_variable_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBER", " ")

    assert environment.integer("NUMBER", default=4) == 4


def run_check(**changes: str | None) -> subprocess.CompletedProcess[str]:
    """Runs `manage.py check --deploy` in a complete environment with changes; None removes a variable."""
    variables = {"PATH": os.environ["PATH"], **servers.ENVIRONMENT, **changes}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SECRET_KEY", None, "SECRET_KEY is not set."),
        ("SECRET_KEY", "changeme" * 8, "SECRET_KEY is too short or a placeholder."),
        ("SECRET_KEY", "short", "SECRET_KEY is too short or a placeholder."),
        ("DEBUG", "maybe", "DEBUG must be 1, true"),
        ("DJANGO_ALLOWED_HOSTS", None, "DJANGO_ALLOWED_HOSTS is not set."),
        ("DATABASE_URL", None, "DATABASE_URL is not set."),
        ("DATABASE_URL", "sqlite:///db.sqlite3", "DATABASE_URL must be a URL of the form postgres://"),
        ("DATABASE_URL", "postgres://u:hunter2@host:5432/", "DATABASE_URL names no database."),
        ("REDIS_URL", "http://127.0.0.1", "REDIS_URL must be a URL of the form redis://"),
        ("CELERY_BROKER_URL", "amqp://127.0.0.1", "CELERY_BROKER_URL must be a URL of the form redis://"),
        ("EMAIL_URL", "pigeon://loft", "EMAIL_URL must be a URL of the form smtp+tls://"),
        ("EMAIL_URL", "smtp://", "EMAIL_URL must be a URL of the form smtp+tls://"),
        ("EMAIL_URL", "smtp+tls://:hunter2@:587", "EMAIL_URL must be a URL of the form smtp+tls://"),
        ("AWS_S3_ENDPOINT_URL", "s3.example.org", "AWS_S3_ENDPOINT_URL must be a URL of the form https://"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
        ("LOG_FORMAT", "xml", "LOG_FORMAT must be one of json, console."),
    ],
)
def test_start_with_a_missing_or_malformed_variable_fails_and_names_it(
    name: str, value: str | None, message: str
) -> None:
    result = run_check(**{name: value})

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(message)
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr


def test_production_settings_pass_the_deployment_checks() -> None:
    result = run_check(DJANGO_HTTPS=None, EMAIL_URL=None)

    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


def test_env_example_lists_every_variable_that_the_code_reads() -> None:
    code = "".join(path.read_text() for part in ("service", "mainstay") for path in (ROOT / part).rglob("*.py"))
    read = set(re.findall(r'(?:(?:environment|settings)\.\w+|_one_of|environ\.get)\(\s*"([A-Z0-9_]+)"', code))

    example = set(re.findall(r"^#? ?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert read <= example
    assert {"SECRET_KEY", "DATABASE_URL", "GUNICORN_BIND", "METRICS_PORT"} <= read


@pytest.mark.parametrize(("variables", "disabled"), [({}, False), ({"DATABASE_SERVER_SIDE_CURSORS": "0"}, True)])
def test_variable_disables_server_side_cursors(variables: dict[str, str], disabled: bool) -> None:
    code = "from django.db import connection; print(connection.settings_dict['DISABLE_SERVER_SIDE_CURSORS'])"

    assert commands.run("shell", "--no-imports", "--command", code, **variables) == (0, f"{disabled}\n")


def test_value_with_a_leading_dollar_is_not_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "$HOME")

    assert (environment.text("NAME"), environment.words("NAME")) == ("$HOME", ["$HOME"])


def test_content_security_policy_allows_the_bucket() -> None:
    code = (
        "from django.core.files.storage import default_storage as s; from django.conf import settings as c;"
        "print(s.url('pictures/a.webp')); print(c.SECURE_CSP['img-src'])"
    )
    bucket = {"AWS_STORAGE_BUCKET_NAME": "shop", "AWS_S3_ENDPOINT_URL": "https://s3.example.org"}
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}

    status, output = commands.run("shell", "--no-imports", "--command", code, **bucket, **keys)

    url, sources = output.splitlines()
    assert (status, url.partition("?")[0]) == (0, "https://s3.example.org/shop/pictures/a.webp")
    assert sources == "[\"'self'\", 'https://s3.example.org']"
