#!/usr/bin/env python
import os
import signal
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")
    # A command run beside the server must not add files to the server's metrics.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    # As process 1 of a container it would ignore SIGTERM, and its pod would take all of its grace to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
