"""Reads the environment strictly: what is missing or malformed stops the start and is named.

django-environ parses the URLs; it takes any unknown word for a false boolean and any text for a URL, so
those two are checked here. A value is never repeated in a message: it may hold a password.
"""

import os
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

env = Env()

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})
PLACEHOLDERS = ("changeme", "change-me", "change_me", "insecure", "secret-key", "your-", "example", "placeholder")


def text(name: str, default: str | None = None) -> str:
    """The variable, or the default where it is missing or empty; ImproperlyConfigured without one."""
    value = os.environ.get(name, "").strip() or default
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set. Set it in the environment; .env.example says what it is.")
    return value


def boolean(name: str, default: bool) -> bool:
    """One of 1, true, yes, on, 0, false, no, off, in any case; ImproperlyConfigured for another word."""
    value = text(name, str(default)).lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} is not a boolean. Write 1, true, yes or on, else 0, false, no or off.")


def integer(name: str, default: int, minimum: int = 0) -> int:
    """A whole number of at least `minimum`; ImproperlyConfigured for anything else."""
    value = text(name, str(default))
    if not value.isdecimal() or int(value) < minimum:
        raise ImproperlyConfigured(f"{name} is not a whole number of at least {minimum}.")
    return int(value)


def words(name: str) -> list[str]:
    """The parts between commas, without blanks and empty parts."""
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def url(name: str, schemes: tuple[str, ...], default: str | None = None) -> str:
    """A URL of one of the schemes, with a host, or an empty default; ImproperlyConfigured for anything else."""
    value = text(name, default)
    if value and not _has_host(value, schemes):
        raise ImproperlyConfigured(
            f"{name} is not a URL of the form {schemes[0]}://[user:password@]host[:port][/name]"
            f" (schemes: {', '.join(schemes)}; special characters in a password percent-encoded)."
        )
    return value


def mail(name: str, default: str) -> dict[str, Any]:
    """Django's EMAIL_* settings from a URL; ImproperlyConfigured for an unknown scheme and for SMTP without a host."""
    config: dict[str, Any] = {}
    with suppress(ImproperlyConfigured, ValueError):
        config = env.email_url_config(text(name, default))
    if not config or ("smtp" in config["EMAIL_BACKEND"] and not config["EMAIL_HOST"]):
        raise ImproperlyConfigured(
            f"{name} is not a URL of the form smtp+tls://user:password@host:587, smtp://…, smtp+ssl://… or consolemail://"
        )
    return config


def secret(name: str, length: int) -> str:
    """A text of at least `length` characters that is no placeholder; ImproperlyConfigured else."""
    value = text(name)
    if len(value) < length or any(word in value.lower() for word in PLACEHOLDERS) or len(set(value)) < 5:
        raise ImproperlyConfigured(
            f"{name} is too short or a placeholder. Make one of at least {length} characters:"
            " python -c 'import secrets; print(secrets.token_urlsafe(50))'"
        )
    return value


def _has_host(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts: SplitResult = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        return False
