"""The ASGI application."""

import os

from mainstay.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")

application = get_asgi_application()
