"""Bulk work on dead letters: counted first, paced, stopped after a batch, killed and gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vwo_celery
from tools.processes import Process
from tools.queue_states import HOLDS_SOMETHING, OPERATOR, Queues, everything
from tools.waiting import wait_until
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_dead
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.operations import Amount, Done, Order, Pace, count_dead
from vwo_celery.operating.past.audit import changes

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)
#: Dead batches of one event, and how many of them are redriven when the process is killed.
MANY, KILLED_AT = 5_000, 2_000
#: Events a second that nobody lives to see.
NEVER = 0.001


def kill_many(queues: Queues, count: int) -> vwo_celery.Queue:
    """A queue with so many dead batches of one event, written as the scripts write them."""
    queue = queues.add()
    keys = queues.shard(queue).keys
    now_ms = queues.fleet.now_ms()
    names = [f"b{number:05}" for number in range(count)]
    pipe = queues.client.pipeline(transaction=False)
    for name in names:
        pipe.rpush(keys.batch(name), b'{"n":1}')
    pipe.zadd(keys.dead, {name: now_ms - count + n for n, name in enumerate(names)})
    line = f"1:0:1:7:{now_ms - 60_000}:{now_ms - 60_000}:VWO answered 413"
    pipe.hset(keys.info, mapping=dict.fromkeys(names, line))
    pipe.hset(keys.meta, mapping={"accepted": count, "dead": count})
    pipe.execute()
    return queue


def dead_of(queues: Queues) -> Any:
    """All dead letters, page by page."""
    return find_dead(queues.fleet, queues.registered, Filter())


def order_all(queues: Queues, **options: Any) -> Order:
    """An order to change all dead letters."""
    return Order(count_dead(dead_of(queues), queues.fleet.now_ms()), **options)


CHILD = """
import sys
from vwo_celery.connections import open_client
from vwo_celery.operating import operations
from vwo_celery.operating.past.audit import actor_of_cli
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_dead
from vwo_celery.operating.operations import Order, count_dead
from vwo_celery.queue.fleet import Fleet

def watch(changed):
    if changed.batches == int(sys.argv[2]):
        print("there", flush=True)
        sys.stdin.read()

fleet = Fleet(open_client(sys.argv[1], timeout_seconds=5), "vwo")
find = lambda: find_dead(fleet, fleet.registrations().readable, Filter())
order = Order(count_dead(find(), fleet.now_ms()), watch=watch)
operations.redrive(fleet, actor_of_cli(), find(), order)
"""


def test_a_killed_redrive_is_gone_on_with(queues: Queues, redis_url: str) -> None:
    """SIGKILL in the middle of 5,000 batches, and the same again: each is ready once, all balanced."""
    queue = kill_many(queues, MANY)
    shard = queues.shard(queue)
    balanced = []

    def look(changed: Amount | None = None) -> None:
        if changed is None or changed.batches % 1_000 == 0:
            balanced.append(queues.view(queue).ledger.balanced)

    words = [sys.executable, "-c", CHILD, redis_url, str(KILLED_AT)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        look()
        assert child.stdout is not None
        assert child.stdout.readline() == b"there\n"
        look()
        os.kill(child.pid, signal.SIGKILL)
    left = queues.view(queue).dead
    done = operations.redrive(
        queues.fleet, OPERATOR, dead_of(queues), order_all(queues, watch=look)
    )
    look()

    assert left == MANY - KILLED_AT
    assert done == Done(Amount(left, left))
    view = queues.view(queue)
    assert (view.ready, view.dead, view.ledger.accepted) == (MANY, 0, MANY)
    assert queues.client.zcard(shard.keys.ready) == queues.client.hlen(shard.keys.info) == MANY
    assert len(balanced) > 4
    assert all(balanced)
    first, second = changes(queues.fleet)
    assert (first.result, first.matched, second.result, second.done) == (
        "unfinished", MANY, "ok", left,
    )  # fmt: skip


def test_only_what_was_counted_is_changed(queues: Queues) -> None:
    """A batch that dies after the count stays dead: it is no part of what somebody agreed to."""
    queue = kill_many(queues, 3)
    order = order_all(queues)
    later = queues.fleet.now_ms() + 1
    queues.client.zadd(queues.shard(queue).keys.dead, {"b00001": later})

    done = operations.purge(queues.fleet, OPERATOR, dead_of(queues), order)

    assert done == Done(Amount(2, 2))
    assert [each.batch for each in dead_of(queues)] == ["b00001"]


def test_no_more_than_most_are_changed(queues: Queues) -> None:
    """--most N changes N batches, and says what is left."""
    queue = kill_many(queues, 5)

    done = operations.redrive(
        queues.fleet, OPERATOR, dead_of(queues), order_all(queues, pace=Pace(most=2))
    )

    assert done == Done(Amount(2, 2), left=Amount(3, 3))
    assert queues.view(queue).dead == 3


class Waits:
    """A brake that notes how long it is asked to wait, and lets nobody wait."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def wait(self, timeout: float) -> bool:
        """Do not."""
        self.asked.append(timeout)
        return False


def test_a_rate_is_kept_by_waits(queues: Queues) -> None:
    """At a rate, each batch waits until those before it are due; the first one does not."""
    queue = queues.add()
    queues.fill(queue, 15)
    for _ in range(3):
        queues.kill(queue, "HTTP 413")
    waits = Waits()

    pace = Pace(rate=NEVER)
    operations.redrive(
        queues.fleet, OPERATOR, dead_of(queues), order_all(queues, pace=pace, brake=waits)
    )

    first, second, third = waits.asked
    assert first == 0
    assert 0 < 5 / NEVER - second < 1_000
    assert 0 < 10 / NEVER - third < 1_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_after_the_batch(
    queues: Queues, redis_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C, or a service manager's SIGTERM: the command says what was done and what is left."""
    queue = kill_many(queues, 4)
    words = ("python", "-m", "vwo_celery", "--redis-url", redis_url, "dead", "redrive")
    with Process(*words, "--rate", str(NEVER), folder=tmp_path, name="redrive") as process:
        wait_until(lambda: queues.view(queue).dead == 3, what="the first batch")
        os.kill(process.pid, number)
        code = process.wait()

    text = process.log()
    assert code == 1
    assert "stopping after this step" in text
    assert "1 event in 1 batch redriven" in text
    assert "stopped: 3 events in 3 batches left; the same command goes on from there" in text
    (change,) = changes(queues.fleet)
    assert (change.result, change.done, change.matched) == ("interrupted", 1, 4)


def test_the_workers_need_not_wait_for_the_last_batch(queues: Queues) -> None:
    """During a long redrive the workers are woken, since its end may be hours away."""
    queue = kill_many(queues, 250)
    woken: list[int] = []

    def look(changed: Amount) -> None:
        if queues.fleet.waiting_wakeups() and not woken:
            woken.append(changed.batches)

    operations.redrive(queues.fleet, OPERATOR, dead_of(queues), order_all(queues, watch=look))

    assert 0 < woken[0] <= 101
    assert queues.view(queue).ready == 250


def test_a_purge_that_fails_has_told_of_what_it_dropped(queues: Queues) -> None:
    """An error in the middle: what was dropped is in the ledger, in the audit and in the log."""
    kill_many(queues, 3)

    def found() -> Any:
        each: DeadBatch
        for number, each in enumerate(dead_of(queues)):
            if number == 2:
                raise QueueUnavailable("list of batches: no answer")
            yield each

    with pytest.raises(QueueUnavailable):
        operations.purge(queues.fleet, OPERATOR, found(), everything([*dead_of(queues)]))

    (change,) = changes(queues.fleet)
    assert (change.result, change.done, change.error) == (
        "failed", 2, "list of batches: no answer",
    )  # fmt: skip
    (view,) = queues.views()
    assert view.dropped == {"purged": 2}
    assert view.ledger.balanced
