"""A worker that begins a job against whoever gives it up: one of both gets it, at any interleaving."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tools.queue_states import OPERATOR, Queues
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.operations import Amount, Counted, Pace
from vwo_celery.operating.operations.jobs import find_job, give_up, order_job, run_job
from vwo_celery.queue.fleet import Fleet

pytestmark = pytest.mark.declared_keys("jobs", "job", "audit")
#: Commands of either side before which the other one may come.
STEPS = ("hmget", "hsetnx")
ROUNDS = 25


class Between:
    """A client that lets somebody else go first, once, before its first command of a name."""

    def __init__(self, client: Any, name: str, other: Callable[[], object]) -> None:
        self._client = client
        self._name = name
        self._other: Callable[[], object] | None = other

    def __getattr__(self, name: str) -> Any:
        if name == self._name and (other := self._other) is not None:
            self._other = None
            other()
        return getattr(self._client, name)


def ordered(queues: Queues) -> str:
    """A job that waits for a worker."""
    counted = Counted(Amount(1, 5), 1, ())
    return order_job(
        queues.fleet, OPERATOR, "redrive", counted, filter=Filter(), scan_limit=1, pace=Pace()
    )


def work(fleet: Fleet, job: str) -> bool:
    """Whether a worker has done the job."""
    return run_job(fleet, job, "worker:1", lambda: False) is not None


def give(fleet: Fleet, job: str) -> bool:
    """Whether the job was given up."""
    return give_up(fleet, job, "no broker")


def assert_one_has_it(queues: Queues, job: str, done: bool, given_up: bool) -> None:
    """One of both has the job, and the job says which."""
    found = find_job(queues.fleet, job)
    assert found is not None
    assert done is not given_up
    assert (found.state, found.worker) == (("ok", "worker:1") if done else ("failed", ""))


@pytest.mark.parametrize("step", STEPS)
def test_a_job_that_is_given_up_under_a_worker_s_hands_is_not_begun(
    queues: Queues, step: str
) -> None:
    """Before any command by which a worker begins it, it may be given up as a whole."""
    job, given = ordered(queues), []
    client = Between(queues.client, step, lambda: given.append(give(queues.fleet, job)))

    done = work(Fleet(client, "vwo"), job)

    assert (done, given) == (False, [True])
    assert_one_has_it(queues, job, done, given[0])


@pytest.mark.parametrize("step", STEPS)
def test_a_job_that_a_worker_does_meanwhile_is_not_given_up(queues: Queues, step: str) -> None:
    """Before any command by which it is given up, a worker may begin it, and end it."""
    job, done = ordered(queues), []
    client = Between(queues.client, step, lambda: done.append(work(queues.fleet, job)))

    given_up = give(Fleet(client, "vwo"), job)

    assert (done, given_up) == ([True], False)
    assert_one_has_it(queues, job, done[0], given_up)


def test_whoever_is_first_has_it(queues: Queues) -> None:
    """Of both at the same time, again and again, exactly one has it."""
    with ThreadPoolExecutor(2) as threads:
        for _ in range(ROUNDS):
            job, together = ordered(queues), Barrier(2, timeout=10)

            def act(how: Callable[[Fleet, str], bool], job: str, together: Barrier) -> bool:
                together.wait()
                return how(queues.fleet, job)

            both = [threads.submit(act, how, job, together) for how in (work, give)]

            done, given_up = (each.result(20) for each in both)
            assert_one_has_it(queues, job, done, given_up)
