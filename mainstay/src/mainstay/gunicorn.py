"""What Gunicorn is told to do around the application; `service/gunicorn.conf.py` names these."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from selectors import EVENT_READ
from typing import Any

from django.db import connections
from gunicorn.arbiter import Arbiter
from gunicorn.http.message import Request
from gunicorn.util import write_error
from gunicorn.workers.gthread import TConn, ThreadWorker

from mainstay.health import PROBES
from mainstay.metrics import slots

# A probe is quick or waits for one check, so a few threads serve every prober.
HEALTH_THREADS = 4


class Worker(ThreadWorker):
    """gthread whose last listener, where GUNICORN_HEALTH_BIND is set, has threads of its own.

    So the kubelet gets its answer while every thread that serves requests is busy: a slow database
    must not turn into a restart (mozmeao/infra#660).
    """

    slot: str

    def init_process(self) -> None:

        from mainstay.metrics import instruments  # after the fork, whose slot is known

        self.health_pool = ThreadPoolExecutor(max_workers=HEALTH_THREADS, thread_name_prefix="health")
        self.health_address = self.sockets[-1].getsockname() if len(self.sockets) > 1 else None
        self.busy = instruments.THREADS_BUSY
        self.busy.set(0)
        instruments.THREADS.set(self.cfg.threads)
        super().init_process()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Opens or closes the door to requests; that to health stays open until the worker ends.

        Gunicorn closes every door while a worker has `worker_connections`, as it has when the database hangs.
        """
        assert self.poller
        for listener in self.sockets:
            is_open = listener in self.poller.get_map()
            wanted = enabled or (self.alive and listener.getsockname() == self.health_address)
            if wanted and not is_open:
                listener.setblocking(False)
                self.poller.register(listener, EVENT_READ, self.accept)
            elif is_open and not wanted:
                self.poller.unregister(listener)
        self._accepting = enabled

    def enqueue_req(self, conn: TConn) -> None:
        if conn.server != self.health_address:
            super().enqueue_req(conn)
            return
        future = self.health_pool.submit(super().handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def handle_request(self, req: Request, conn: TConn) -> Any:
        """By the health address the probes alone, since no nginx is in front of it."""
        if conn.server == self.health_address and req.path not in PROBES:
            write_error(conn.sock, 404, "Not Found", "")
            return False
        return super().handle_request(req, conn)

    def handle(self, conn: TConn) -> Any:
        with self.busy.track_inprogress():
            return super().handle(conn)


def pre_fork(arbiter: Arbiter, worker: Worker) -> None:
    """Gives the worker the lowest free slot, and the fork no connection of its parent's."""
    taken = {other.slot for other in arbiter.WORKERS.values()}
    worker.slot = next(slot for number in count() if (slot := f"web-{number}") not in taken)
    connections.close_all()


def post_fork(arbiter: Arbiter, worker: Worker) -> None:
    slots.take(worker.slot)


def child_exit(arbiter: Arbiter, worker: Worker) -> None:
    slots.release(worker.slot)
