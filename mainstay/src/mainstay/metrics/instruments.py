"""The metrics of the package, beside those of django-prometheus."""

from prometheus_client import Counter, Gauge, Histogram

from mainstay.metrics import slots

slots.init()

THREADS = Gauge("http_threads", "Threads that answer requests.", multiprocess_mode="livesum")
REQUESTS_IN_PROGRESS = Gauge(
    "http_requests_in_progress", "Requests that are being answered.", multiprocess_mode="livesum"
)
REQUEST_QUEUE = Histogram(
    "http_request_queue_seconds",
    "Time from the proxy's X-Request-Start to the first middleware.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TASK_DURATION = Histogram(
    "celery_task_duration_seconds",
    "Run time of a task.",
    ["task", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300),
)
TASK_QUEUE = Histogram(
    "celery_task_queue_seconds",
    "Time from a task's publication, or its ETA, to its start.",
    ["task"],
    buckets=(0.01, 0.1, 1, 5, 10, 30, 60, 300, 600, 3600),
)
# Each worker and Beat measure the same queue: aggregate over pods by max, never by sum.
TASK_OLDEST_AGE = Gauge(
    "celery_oldest_task_age_seconds", "Age of the oldest task in the queue.", multiprocess_mode="mostrecent"
)
TASKS_WAITING = Gauge("celery_tasks_waiting", "Tasks in the queue.", multiprocess_mode="mostrecent")
BEAT_SENT = Counter("celery_beat_tasks_total", "Tasks that Beat has sent.", ["task"])
