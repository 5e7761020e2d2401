"""The Celery application: `celery -A service worker`, `celery -A service beat`."""

import os
import warnings

from celery.exceptions import SecurityWarning
from mainstay.celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")

# It warns of root and unknown groups, which matter for pickled messages: ours are JSON.
warnings.simplefilter("ignore", SecurityWarning)

app = Celery("service")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
