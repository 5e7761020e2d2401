"""The WSGI application: health first, then Django."""

import os

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from service.operations.health import with_health

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")

application = with_health(get_wsgi_application())
# What is wrong shows at the start, not at the first request.
call_command("check", verbosity=0)
