"""The project of docs/your-own-project.md, built from the code blocks of the document."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT
from tests.support.documents import blocks

DOCUMENT = "docs/your-own-project.md"
SETTINGS, WSGI, CELERY, ASGI, SETTINGS_WITHOUT_PACKAGE = blocks(DOCUMENT, "python")
DOCKERFILE = blocks(DOCUMENT, "dockerfile")[0]
VALUES, WITHOUT_CELERY, WITH_ASGI, WITHOUT_PACKAGE = blocks(DOCUMENT, "yaml")

# An app of the project, with a task and a view that shows what the server passes on.
SHOP = {
    "shop/__init__.py": "",
    "shop/tasks.py": """
import structlog
from plain.celery import app

@app.task
def pack(parcel):
    structlog.get_logger("shop").info("packed", parcel=parcel)
""",
    "shop/views.py": """
import os
from django.contrib.auth.models import User
from django.http import JsonResponse

def shop(request):
    if "parcel" in request.GET:
        from shop.tasks import pack
        pack.delay(request.GET["parcel"])
    return JsonResponse({"pid": os.getpid(), "secure": request.is_secure(), "users": User.objects.count()})
""",
}
SHOP_SETTINGS = """
INSTALLED_APPS += ["shop"]
CELERY_BEAT_SCHEDULE = {"pack": {"task": "shop.tasks.pack", "schedule": 3600, "args": ["scheduled"]}}
"""
SHOP_URLS = """
from shop.views import shop
urlpatterns += [path("shop/", shop, name="shop")]
"""


def uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], cwd=ROOT, check=True)


def build_wheel(directory: Path) -> Path:
    """Build the wheel of django-mainstay as `make package` does, and return its path."""
    uv("build", "--quiet", "--package", "django-mainstay", "--wheel", "--out-dir", str(directory))
    (wheel,) = directory.glob("django_mainstay-*.whl")
    return wheel


def start_project(directory: Path, *, with_celery: bool = True) -> None:
    """Create the project `plain` in an existing directory, by the document, with the app `shop`."""
    subprocess.run([sys.executable, "-m", "django", "startproject", "plain", str(directory)], check=True)
    add(directory / "plain/settings.py", SETTINGS + SHOP_SETTINGS)
    add(directory / "plain/urls.py", SHOP_URLS)
    for name, line in (("wsgi", WSGI), ("asgi", ASGI)):
        file = directory / f"plain/{name}.py"
        before = file.read_text()
        after = before.replace(f"from django.core.{name} import get_{name}_application\n", line)
        assert after != before
        file.write_text(after)
    if with_celery:
        (directory / "plain/celery.py").write_text(CELERY)
    for name, code in SHOP.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(code)


def copy_wheel(wheel: Path, directory: Path) -> None:
    """Copy the wheel to where the document's Dockerfile expects it."""
    shutil.copy(wheel, directory)


def add(file: Path, code: str) -> None:
    with file.open("a") as settings:
        settings.write(code)
