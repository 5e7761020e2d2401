"""The Celery application: `celery -A service worker`, `celery -A service beat`."""

import os
import sys
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning
from mainstay.metrics import slots

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")

# What it warns of, root or an unknown group with pickled messages, can't be: ours are JSON alone.
warnings.simplefilter("ignore", SecurityWarning)

# Before anything makes a metric. The two that serve measure; `celery inspect`, typed by a person, does not.
slots.share(next((role for role in ("worker", "beat") if role in sys.argv[1:]), None))

from mainstay.celery import Heartbeat, TracedTask  # noqa: E402

app = Celery("service", task_cls=TracedTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(Heartbeat)
