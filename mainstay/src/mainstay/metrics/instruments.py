"""What we measure beside what django-prometheus does."""

from prometheus_client import Counter, Gauge, Histogram

THREADS = Gauge("gunicorn_threads", "Threads that answer requests.", multiprocess_mode="livesum")
THREADS_BUSY = Gauge("gunicorn_threads_busy", "Threads that are answering a request.", multiprocess_mode="livesum")
REQUEST_QUEUE = Histogram(
    "http_request_queue_seconds",
    "From the proxy's X-Request-Start to the first line of Django.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TASK_DURATION = Histogram(
    "celery_task_duration_seconds",
    "How long a task ran.",
    ["task", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300),
)
TASK_QUEUE = Histogram(
    "celery_task_queue_seconds",
    "From a task's publication, or the time it was to wait for, to its start.",
    ["task"],
    buckets=(0.01, 0.1, 1, 5, 10, 30, 60, 300, 600, 3600),
)
# Of one queue, which each worker and Beat measure: of several pods take the max, never the sum.
TASK_OLDEST_AGE = Gauge(
    "celery_oldest_task_age_seconds", "Age of the oldest task that waits in the queue.", multiprocess_mode="mostrecent"
)
TASKS_WAITING = Gauge("celery_tasks_waiting", "Tasks that wait in the queue.", multiprocess_mode="mostrecent")
BEAT_SENT = Counter("celery_beat_tasks_total", "Tasks that the schedule has sent.", ["task"])
