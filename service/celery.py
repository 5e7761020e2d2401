"""The Celery application: `celery -A service worker`, `celery -A service beat`."""

import os
import warnings

from celery.exceptions import SecurityWarning

from mainstay.celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")

# Celery warns about running as root or with unknown groups, which matters for pickled messages only. Ours are JSON.
warnings.simplefilter("ignore", SecurityWarning)

app = Celery("service")
