"""Strict readers of environment variables: a missing or malformed variable stops the start, and is named.

django-environ parses the URLs. It reads an unknown word as False, any text as a URL, and a value that begins with `$`
as a reference, so those are read here. A message never repeats a value, which may hold a password.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

env = Env()

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})
# TCP keepalive in seconds: first probe after 30 s idle, then every 5 s, dropped after 3 missed. The kernel's default is
# two hours.
KEEPIDLE, KEEPINTVL, KEEPCNT = 30, 5, 3
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
    """The items between commas, stripped, without empty ones."""
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


def database(name: str) -> dict[str, Any]:
    """Django's settings of a PostgreSQL database: measured, with persistent connections, timeouts and TCP keepalive.

    DATABASE_CONN_MAX_AGE is in seconds; DATABASE_SERVER_SIDE_CURSORS=0 fits a pooler in transaction mode.
    ImproperlyConfigured if the variable is no URL of PostgreSQL, or names no database.
    """
    config: dict[str, Any] = env.db_url_config(url(name, ("postgres", "postgresql")))
    if not config["NAME"]:
        raise ImproperlyConfigured(f"{name} names no database. Add its name after the port: …:5432/name")
    return config | {
        "ENGINE": "django_prometheus.db.backends.postgresql",
        # Each thread keeps its connection. A broken one is detected before it is used.
        "CONN_MAX_AGE": integer("DATABASE_CONN_MAX_AGE", default=600),
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": not boolean("DATABASE_SERVER_SIDE_CURSORS", default=True),
        "OPTIONS": {
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            "keepalives_idle": KEEPIDLE,
            "keepalives_interval": KEEPINTVL,
            "keepalives_count": KEEPCNT,
        }
        | config.get("OPTIONS", {}),
    }


def cache(name: str) -> dict[str, Any]:
    """Django's settings of a cache by django-redis (extra `redis`). A cache that is down fails no request.

    ImproperlyConfigured if the variable is no URL of Redis or Valkey.
    """
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return {
        "BACKEND": "django_prometheus.cache.backends.redis.RedisCache",
        "LOCATION": url(name, ("redis", "rediss")),
        "OPTIONS": {
            "IGNORE_EXCEPTIONS": True,
            "REDIS_CLIENT_CLASS": "mainstay.cache.Client",
            "SOCKET_CONNECT_TIMEOUT": 0.5,
            "SOCKET_TIMEOUT": 0.5,
            "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0)},
        },
    }


def storages(static: Path) -> dict[str, Any]:
    """Django's STORAGES: static files with hashed names in `static`, and uploads in MEDIA_ROOT or in a bucket.

    AWS_STORAGE_BUCKET_NAME, AWS_S3_ENDPOINT_URL and AWS_S3_REGION_NAME name the bucket (extra `s3`).
    """
    uploads: dict[str, Any] = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": text("MEDIA_ROOT", default=str(static.parent / "media")), "base_url": "/media/"},
    }
    if bucket := text("AWS_STORAGE_BUCKET_NAME", default=""):
        from botocore.config import Config

        uploads = {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                "bucket_name": bucket,
                "endpoint_url": url("AWS_S3_ENDPOINT_URL", ("https", "http"), default="") or None,
                "region_name": text("AWS_S3_REGION_NAME", default="") or None,
                "file_overwrite": False,
                # About 10 s for a store that hangs. The default of botocore is a minute, three times.
                "client_config": Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2}),
            },
        }
    collected = {
        "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
        "OPTIONS": {"location": static},
    }
    return {"default": uploads, "staticfiles": collected}


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
