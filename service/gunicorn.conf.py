"""Gunicorn's settings: `gunicorn --config service/gunicorn.conf.py service.wsgi:application`."""

import os
from pathlib import Path
from socket import has_dualstack_ipv6

from mainstay.metrics import slots

from mainstay import environment

slots.share("web")  # before anything makes a metric

from mainstay.cpus import available_cpus  # noqa: E402
from mainstay.gunicorn import child_exit, post_fork, pre_fork  # noqa: E402, F401 # hooks
from mainstay.logging import configure_logging  # noqa: E402

bind = [environment.text("GUNICORN_BIND", default="127.0.0.1:8000")]
if health_bind := environment.text("GUNICORN_HEALTH_BIND", default=""):
    # Without a host it is every address, of IPv6 too where there is any.
    bind.append(f"[::]{health_bind}" if health_bind.startswith(":") and has_dualstack_ipv6() else health_bind)
worker_class = "mainstay.gunicorn.Worker"
workers = environment.integer("WEB_CONCURRENCY", default=available_cpus(), minimum=1)
threads = environment.integer("GUNICORN_THREADS", default=4, minimum=1)
timeout = environment.integer("GUNICORN_TIMEOUT", default=30, minimum=1)
graceful_timeout = environment.integer("GUNICORN_GRACEFUL_TIMEOUT", default=30, minimum=1)
# nginx keeps no connection (docs/decisions/0004). Another proxy may: longer than most, so that it closes first.
keepalive = 75
# Bounds what a leak can take; the jitter keeps the workers from ending together.
max_requests = environment.integer("GUNICORN_MAX_REQUESTS", default=10_000)
max_requests_jitter = max_requests // 10
preload_app = True
# nginx, of another user and the same group, connects to the socket.
umask = 0o007
# A heartbeat on a disk blocks when the disk does.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 # no file stays there
control_socket_disable = True
logconfig_dict = configure_logging()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "service.settings")
