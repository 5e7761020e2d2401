"""The settings, read from the environment. `.env.example` lists the variables."""

import socket
from pathlib import Path
from typing import Any

from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured

from mainstay import environment, settings
from mainstay.logging import configure_logging

BASE_DIR = Path(__file__).resolve().parent.parent

# --- the project -------------------------------------------------------------------------

DEBUG = environment.boolean("DEBUG", default=False)
SECRET_KEY = environment.secret("SECRET_KEY", length=50)
SECRET_KEY_FALLBACKS = environment.words("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = environment.words("DJANGO_ALLOWED_HOSTS")
if not (ALLOWED_HOSTS or DEBUG):
    raise ImproperlyConfigured("DJANGO_ALLOWED_HOSTS is not set. List the host names, separated by commas.")

ROOT_URLCONF = "service.urls"
WSGI_APPLICATION = "service.wsgi.application"
ASGI_APPLICATION = "service.asgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

INSTALLED_APPS = [
    "mainstay",  # first, so that its `migrate` overrides Django's
    "service.accounts",
    "service.reports",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
]

MIDDLEWARE = [
    "mainstay.middleware.observe",
    "django.middleware.security.SecurityMiddleware",
    "mainstay.middleware.content_security_policy",
    "service.middleware.limit_body",
    "mainstay.middleware.refuse_nul",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "service.middleware.htmx_redirects",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "mainstay.metrics.middleware.ViewMetricsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "service/templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- the database --------------------------------------------------------------------------------

DATABASES = {"default": settings.database("DATABASE_URL")}

# --- cache, sessions, tasks ----------------------------------------------------------------------

CACHES = {"default": settings.cache("REDIS_URL")}
DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True
# Sessions are stored in the database, too, so that nobody is logged out when the cache is flushed.
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

CELERY_BROKER_URL = environment.url("CELERY_BROKER_URL", ("redis", "rediss"), default=environment.text("REDIS_URL"))
CELERY_RESULT_BACKEND = CELERY_BROKER_URL
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# A task whose worker is killed runs again: every task is idempotent.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Seconds: the longest task, and the time after which a task without an acknowledgement is delivered again.
CELERY_TASK_TIME_LIMIT = 300
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "socket_connect_timeout": 1,
    "socket_timeout": 2,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value
        for name, value in {
            "TCP_KEEPIDLE": settings.KEEPIDLE,
            "TCP_KEEPINTVL": settings.KEEPINTVL,
            "TCP_KEEPCNT": settings.KEEPCNT,
        }.items()
        if hasattr(socket, name)  # macOS has no TCP_KEEPIDLE
    },
}
# Enqueuing is retried once, after 1 s, because a pooled connection may be broken. The request waits meanwhile.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 1, "interval_max": 1}
CELERY_BEAT_SCHEDULE = {
    "cleanup_expired_sessions": {
        "task": "service.reports.tasks.cleanup_expired_sessions",
        "schedule": crontab(hour="2", minute="0"),
    },
    "generate_daily_report": {
        "task": "service.reports.tasks.generate_daily_report",
        "schedule": crontab(hour="6", minute="0"),
    },
    "send_pending_mail": {
        "task": "service.accounts.tasks.send_pending_mail",
        "schedule": crontab(),
    },
}

# --- mail ----------------------------------------------------------------------------------------

_mail = environment.mail("EMAIL_URL", default="consolemail://")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST = _mail["EMAIL_HOST"] or "localhost"
EMAIL_PORT = _mail["EMAIL_PORT"] or 25
EMAIL_HOST_USER = _mail["EMAIL_HOST_USER"] or ""
EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = environment.text("DEFAULT_FROM_EMAIL", default="webmaster@localhost")

# --- static files and media ----------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "service/assets/dist"]
MEDIA_URL = "/media/"
MEDIA_ROOT = Path(environment.text("MEDIA_ROOT", default=str(BASE_DIR / "media")))
AWS_STORAGE_BUCKET_NAME = environment.text("AWS_STORAGE_BUCKET_NAME", default="")
AWS_S3_ENDPOINT_URL = environment.url("AWS_S3_ENDPOINT_URL", ("https", "http"), default="") or None
AWS_S3_REGION_NAME = environment.text("AWS_S3_REGION_NAME", default="") or None
AWS_S3_FILE_OVERWRITE = False
if AWS_STORAGE_BUCKET_NAME:
    from botocore.config import Config

    # Limits a request to a hanging store to about 10 s; the default of botocore is three attempts of 60 s.
    AWS_S3_CLIENT_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})
STORAGES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "storages.backends.s3.S3Storage"
        if AWS_STORAGE_BUCKET_NAME
        else "django.core.files.storage.FileSystemStorage"
    },
    "staticfiles": {"BACKEND": "mainstay.storage.StaticFilesStorage"},
}
# Cache time in seconds of files without a hash in their name. The chart's nginx uses the same value.
WHITENOISE_MAX_AGE = 60
# The directory that nginx serves at its internal location /accel/; empty without nginx.
ACCEL_REDIRECT_ROOT = environment.text("ACCEL_REDIRECT_ROOT", default="")
# The largest request body: a form with the largest picture fits.
MAX_BODY_BYTES = 4 * 1024 * 1024

# --- security ------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "accounts:profile"
LOGOUT_REDIRECT_URL = "accounts:login"

# Gunicorn trusts X-Forwarded-Proto from nginx alone, and sets wsgi.url_scheme.
_https = environment.boolean("DJANGO_HTTPS", default=True)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SECURE_HSTS_SECONDS = environment.integer("HSTS_SECONDS", default=31_536_000) if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
_NONE, _SELF = "'none'", "'self'"
SECURE_CSP = {
    "default-src": [_NONE],
    "script-src": [_SELF],
    "style-src": [_SELF],
    "img-src": [_SELF, *([AWS_S3_ENDPOINT_URL or "https://*.amazonaws.com"] if AWS_STORAGE_BUCKET_NAME else [])],
    "font-src": [_SELF],
    "connect-src": [_SELF],
    "form-action": [_SELF],
    "base-uri": [_NONE],
    "frame-ancestors": [_NONE],
}

# --- logs ----------------------------------------------------------------------------------------

LOGGING = configure_logging()
