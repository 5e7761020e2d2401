"""Connections that nginx keeps to Gunicorn, while workers are recycled and pods are rolled. The whole of it is
`make test-long`; the default is a short one.
"""

import itertools
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import requests

from tests.support import plain
from tests.support.cluster import Release, wait_until

POSTS = int(os.environ.get("POSTS", "3000"))
ROLLOUTS = int(os.environ.get("ROLLOUTS", "1"))
CLIENTS, PODS, WORKERS = 12, 2, 2
COUNTS = """
select count(*), count(distinct text), count(distinct split_part(process, '/', 1)), count(distinct process),
    count(distinct connection)
from notes_note
"""


def have_stored(release: Release, pods: int) -> bool:
    return int(release.psql("select count(distinct split_part(process, '/', 1)) from notes_note")) == pods


@pytest.mark.timeout(1800)
def test_no_post_is_lost_while_workers_recycle_and_pods_roll(empty: Release) -> None:
    # given
    empty.install(
        **plain.VALUES,
        image__tag=plain.build(),
        web__replicas=PODS,
        web__workers=WORKERS,
        web__env={"GUNICORN_MAX_REQUESTS": 50},
    )
    empty.wait_for_ingress("/json/")
    turns, rolled = itertools.count(), threading.Event()

    def send() -> Counter[str]:
        """Posts on a connection of its own, each text once; counts each outcome."""
        outcomes: Counter[str] = Counter()
        session = empty.session()
        for turn in turns:
            if turn >= POSTS and rolled.is_set():
                break
            try:
                answer = session.post(f"{empty.url}/notes/", {"text": f"note {turn}"}, timeout=60)
                outcomes[str(answer.status_code)] += 1
            except requests.RequestException as error:
                outcomes[f"{type(error).__name__} {error}"] += 1
        return outcomes

    # when
    with ThreadPoolExecutor(CLIENTS) as executor:
        clients = [executor.submit(send) for _ in range(CLIENTS)]
        try:
            for rollout in range(1 + ROLLOUTS):
                if rollout:
                    empty.kubectl("rollout", "restart", f"deployment/{empty.name}-web")
                    empty.kubectl("rollout", "status", f"deployment/{empty.name}-web", "--timeout=300s")
                wait_until(partial(have_stored, empty, PODS * (1 + rollout)), "each pod has stored a note")
        finally:
            rolled.set()
    outcomes = sum((client.result() for client in clients), Counter[str]())

    # then
    assert set(outcomes) == {"201"}, outcomes
    sent = outcomes["201"]
    assert sent >= POSTS
    stored, texts, pods, processes, connections = map(int, empty.psql(COUNTS).split("|"))
    print(f"{sent} POSTs, {pods} pods, {processes} worker processes, {connections} connections to Gunicorn")
    assert (stored, texts) == (sent, sent)
    assert pods == PODS * (1 + ROLLOUTS)
    # Workers were recycled, which no rollout explains, and connections were kept nonetheless.
    assert processes > 2 * WORKERS * pods
    assert connections < sent / 2
