"""The service as `startproject` would configure it, for `tests.bench.overhead`."""

from service.settings import *  # noqa: F403

WSGI_APPLICATION = "tests.bench.plain_wsgi.application"
INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in ("mainstay", "django_prometheus")]  # noqa: F405 # of the star
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"  # noqa: F405 # of the star
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405 # of the star
LOGGING = {}
