"""Strict readers of environment variables: ImproperlyConfigured names a missing or malformed one.

django-environ parses the URLs. It reads an unknown word as False, accepts any text as a URL, and treats a leading `$`
as a reference, so this module reads and checks values itself. A message never repeats a value, which may hold a
password.
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
    """The variable, or the default if it is missing or empty; ImproperlyConfigured if there is no default."""
    value = os.environ.get(name, "").strip() or default
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set.")
    return value


def boolean(name: str, default: bool) -> bool:
    """1, true, yes, on, 0, false, no or off, in any case; ImproperlyConfigured for any other value."""
    value = text(name, str(default)).lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be 1, true, yes or on, or 0, false, no or off.")


def integer(name: str, default: int, minimum: int = 0) -> int:
    """An integer of at least `minimum`; ImproperlyConfigured for any other value."""
    value = text(name, str(default))
    if not value.isdecimal() or int(value) < minimum:
        raise ImproperlyConfigured(f"{name} must be an integer of at least {minimum}.")
    return int(value)


def words(name: str) -> list[str]:
    """The non-empty items of a comma-separated list, stripped."""
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def url(name: str, schemes: tuple[str, ...], default: str | None = None) -> str:
    """A URL of one of the schemes with a host, or an empty default; ImproperlyConfigured for any other value."""
    value = text(name, default)
    if value and not _has_host(value, schemes):
        raise ImproperlyConfigured(
            f"{name} must be a URL of the form {schemes[0]}://[user:password@]host[:port][/name]"
            f" (schemes: {', '.join(schemes)}; percent-encode special characters of a password)."
        )
    return value


def mail(name: str, default: str) -> dict[str, Any]:
    """Django's EMAIL_* settings; ImproperlyConfigured for an unknown scheme, or SMTP without a host."""
    config: dict[str, Any] = {}
    with suppress(ImproperlyConfigured, ValueError):
        config = env.email_url_config(text(name, default))
    if not config or ("smtp" in config["EMAIL_BACKEND"] and not config["EMAIL_HOST"]):
        raise ImproperlyConfigured(
            f"{name} must be a URL of the form smtp+tls://user:password@host:587, smtp://…, smtp+ssl://… or consolemail://"
        )
    return config


def secret(name: str, length: int) -> str:
    """At least `length` characters that are no placeholder; ImproperlyConfigured for any other value."""
    value = text(name)
    if len(value) < length or any(word in value.lower() for word in PLACEHOLDERS) or len(set(value)) < 5:
        raise ImproperlyConfigured(
            f"{name} is too short or a placeholder. Generate one of at least {length} characters:"
            " python -c 'import secrets; print(secrets.token_urlsafe(50))'"
        )
    return value


def _has_host(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts: SplitResult = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        return False
