"""Django's own WSGI application, for `tests.bench.overhead`."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
