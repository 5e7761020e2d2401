from django.apps import AppConfig
from django.db.backends.signals import connection_created

from mainstay import request_id
from mainstay.metrics import slots

# Must run before any app creates a metric, so `mainstay` is the first of INSTALLED_APPS.
slots.init()


class MainstayConfig(AppConfig):
    name = "mainstay"

    def ready(self) -> None:
        from mainstay import checks  # noqa: F401 # registers the checks

        connection_created.connect(request_id.comment_queries, dispatch_uid="mainstay.request_id")
