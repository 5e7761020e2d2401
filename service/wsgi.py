"""The WSGI application: health first, then Django."""

import os

from django.core.management import BaseCommand
from django.core.wsgi import get_wsgi_application
from mainstay.health import with_health
from mainstay.middleware import with_whole_body

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")

application = with_health(with_whole_body(get_wsgi_application()))
# What is wrong shows at the start, not at the first request.
BaseCommand().check()
