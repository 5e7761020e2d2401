"""A plain Django project on the package: `startproject`, the app `notes` beside this file, and an image of both."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support import ROOT
from tests.support.cluster import REGISTRY, run

SETTINGS = """
import environ

env = environ.Env()
DEBUG = False
SECRET_KEY = env.str("SECRET_KEY")
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS")
INSTALLED_APPS += ["notes"]
MIDDLEWARE.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")
ROOT_URLCONF = "notes.urls"
DATABASES = {"default": env.db() | {"CONN_MAX_AGE": env.int("CONN_MAX_AGE", default=600)}}
STATIC_ROOT = "/site/static"
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}
"""

TAG = "notes"
DOCKERFILE = """\
FROM python:3.14-slim
WORKDIR /site
COPY *.whl ./
RUN pip install --no-cache-dir granian whitenoise *.whl
COPY . .
RUN export SECRET_KEY=none DJANGO_ALLOWED_HOSTS=none DATABASE_URL=postgres://localhost/none \\
    && python manage.py makemigrations notes && python manage.py collectstatic --noinput \\
    && python -m compileall -q .
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
"""

# The chart's defaults, without the parts that the project does not have.
VALUES: dict[str, Any] = {
    "web__command": ["gunicorn", "--config", "python:mainstay.gunicorn", "plain.wsgi:application"],
    "web__probes": {
        "port": 8080,
        "livenessPath": "",
        "readinessPath": "/admin/login/",
        "startupPath": "/admin/login/",
    },
    "migrations__waitCommand": ["sh", "-c", "until python manage.py migrate --check; do sleep 1; done"],
    "static__path": "/site/static",
    "media__mode": "none",
    "metrics__enabled": False,
    "worker__enabled": False,
    "beat__enabled": False,
    "valkey__mode": "none",
}


def build() -> str:
    """Builds and pushes the image; returns its tag."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "django", "startproject", "plain", name)
        with (folder / "plain" / "settings.py").open("a") as settings:
            settings.write(SETTINGS)
        shutil.copytree(ROOT / "tests/support/notes", folder / "notes", ignore=shutil.ignore_patterns("__pycache__"))
        run(str(ROOT / ".venv/bin/uv"), "build", "--wheel", "--package", "django-mainstay", "--out-dir", name, cwd=ROOT)
        (folder / "Dockerfile").write_text(DOCKERFILE)
        run("docker", "build", "--quiet", "--tag", f"{REGISTRY}/service:{TAG}", name)
    run("docker", "push", "--quiet", f"{REGISTRY}/service:{TAG}")
    return TAG
