from django.apps import AppConfig
from django.db.backends.signals import connection_created

from mainstay import request_id
from mainstay.metrics import slots

# Before an app that creates metrics is loaded: `mainstay` is the first of INSTALLED_APPS.
slots.init()


class MainstayConfig(AppConfig):
    name = "mainstay"

    def ready(self) -> None:
        from mainstay import checks  # noqa: F401 # registers them

        connection_created.connect(request_id.comment_queries, dispatch_uid="mainstay.request_id")
