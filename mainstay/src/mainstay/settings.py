"""Values of Django's settings, for a project's settings module. They depend on nothing that reads the settings."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from mainstay import environment

# TCP keepalive in seconds: first probe after 30 s idle, then every 5 s, dropped after 3 missed. The kernel's default is
# two hours.
KEEPIDLE, KEEPINTVL, KEEPCNT = 30, 5, 3


def database(name: str) -> dict[str, Any]:
    """Django's settings of a PostgreSQL database: measured, with persistent connections, timeouts and TCP keepalive.

    DATABASE_CONN_MAX_AGE is in seconds; DATABASE_SERVER_SIDE_CURSORS=0 fits a pooler in transaction mode.
    ImproperlyConfigured if the variable is no URL of PostgreSQL, or names no database.
    """
    config: dict[str, Any] = environment.env.db_url_config(environment.url(name, ("postgres", "postgresql")))
    if not config["NAME"]:
        raise ImproperlyConfigured(f"{name} names no database. Add its name after the port: …:5432/name")
    return config | {
        "ENGINE": "django_prometheus.db.backends.postgresql",
        # Each thread keeps its connection. A broken one is detected before it is used.
        "CONN_MAX_AGE": environment.integer("DATABASE_CONN_MAX_AGE", default=600),
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": not environment.boolean("DATABASE_SERVER_SIDE_CURSORS", default=True),
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
        "LOCATION": environment.url(name, ("redis", "rediss")),
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
        "OPTIONS": {
            "location": environment.text("MEDIA_ROOT", default=str(static.parent / "media")),
            "base_url": "/media/",
        },
    }
    if bucket := environment.text("AWS_STORAGE_BUCKET_NAME", default=""):
        from botocore.config import Config

        uploads = {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                "bucket_name": bucket,
                "endpoint_url": environment.url("AWS_S3_ENDPOINT_URL", ("https", "http"), default="") or None,
                "region_name": environment.text("AWS_S3_REGION_NAME", default="") or None,
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


def middleware(middleware: list[str]) -> list[str]:
    """The project's MIDDLEWARE with the request log, the request id, the metrics and `refuse_nul`."""
    return [
        "mainstay.middleware.observe",
        "mainstay.middleware.refuse_nul",
        *middleware,
        "mainstay.metrics.middleware.ViewMetricsMiddleware",
    ]
