"""Queues that hold nothing are forgotten, whoever uses them meanwhile, whatever is killed when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis as redis_py

from tools.queue_states import HOLDS_SOMETHING, OPERATOR, Queues
from tools.redis_groups import ClusterGroup, client_of
from vwo_celery.connections import open_client
from vwo_celery.destinations import Destination
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating import operations
from vwo_celery.operating.past.audit import changes
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import forgetting
from vwo_celery.queue.words.batches import Batch, Limits
from vwo_celery.queue.words.registration import Registration

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "former", "declined_queues")


class Killed(BaseException):
    """The end of a process that was killed."""


def forget(queues: Queues, **options: Any) -> list[operations.Forgotten]:
    """Forget all queues."""
    return operations.forget(queues.fleet, OPERATOR, queues.registered, **options)


def names_of(queues: Queues, queue: str) -> set[str]:
    """Keys and list entries that name a queue, but for the audit and marks."""
    client, keys = queues.client, queues.fleet.keys
    found = {key.decode() for key in client.scan_iter(f"*{{{queue}:*")}
    found = {key for key in found if ":mark:" not in key and not key.endswith(":former")}
    listed = [key for key in (keys.queues, keys.shards) if client.hexists(key, queue)]
    watched = {name.decode() for name in client.smembers(keys.watched)}
    return found | {*listed} | {name for name in watched if name.startswith(f"{queue}:")}


def interrupted_at(
    monkeypatch: pytest.MonkeyPatch, place: str, act: Callable[[], None], *, call: int = 1
) -> None:
    """Have *act* called before the n-th call of a step."""
    step: Any = getattr(forgetting, place)
    calls: list[int] = []

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if options.get("delete", True):
            calls.append(1)
            if len(calls) == call:
                act()
        return step(*arguments, **options)

    monkeypatch.setattr(forgetting, place, wrapped)


def test_a_forgotten_queue_leaves_nothing_and_comes_back_with_its_next_event(
    queues: Queues,
) -> None:
    """Registration, shards and counters go, with an entry in the audit; no loss is told afterwards."""
    queue = queues.add(shards=3)
    queues.fill(queue, 5)
    queues.client.zadd(queues.fleet.keys.declined_queues, {queue.name: 1})
    held = forget(queues, even_if_used=True)
    for number in range(3):
        shard = queues.shard(queue, number)
        shard.sweep(force=True, idle_ms=1)
        while isinstance(batch := shard.claim(token="", lease_seconds=60), Batch):
            assert shard.ack(batch.id)
    while queues.client.rpop(queues.fleet.keys.wakeups):
        pass

    used = forget(queues)
    (done,) = forget(queues, even_if_used=True)
    left = names_of(queues, queue.name)
    queues.fill(queue, 4)

    assert "holds events" in held[0].why
    assert "--even-if-used" in used[0].why
    assert (done.why, done.accepted, done.delivered) == ("", 5, 5)
    assert left == set()
    assert queues.client.zscore(queues.fleet.keys.declined_queues, queue.name) is None
    view = queues.view(queue)
    assert (view.open + view.ready, view.forgotten_age_seconds, view.dropped) == (4, None, {})
    kept, used, gone = changes(queues.fleet)
    assert [kept.done, used.done, gone.done] == [0, 0, 1]
    assert (kept.note, gone.note) == (
        "", f"{queue.name}: 5 accepted, 5 delivered, 0 dropped, 0 refused",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "call"), [("doubt", 1), ("forget_shard", 1), ("forget_shard", 2), ("unlist", 1)]
)
def test_a_command_that_was_killed_is_run_again(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, place: str, call: int
) -> None:
    """Wherever it dies, the queue is still listed, and the same command forgets the rest."""
    queue = queues.add(shards=2)

    def die() -> None:
        raise Killed

    with monkeypatch.context() as patch:
        interrupted_at(patch, place, die, call=call)
        with pytest.raises(Killed):
            forget(queues)
    assert [*queues.registered] == [queue.name]

    (done,) = forget(queues)

    assert done.why == ""
    assert names_of(queues, queue.name) == set()


@pytest.mark.parametrize(
    ("place", "call"), [("doubt", 1), ("forget_shard", 1), ("forget_shard", 2), ("unlist", 1)]
)
@pytest.mark.parametrize("known", [True, False])
def test_an_event_that_comes_meanwhile_is_kept_and_sent(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, place: str, call: int, known: bool
) -> None:
    """A producer, old or new, that enqueues at any moment keeps its event, listed and watched."""
    queue = queues.add()
    interrupted_at(
        monkeypatch,
        place,
        lambda: queues.fill(queue if known else queues.add(), 1),
        call=call,
    )

    (done,) = forget(queues)
    shard = queues.shard(queue)
    swept = shard.sweep(force=True, idle_ms=1)

    assert done.why
    assert swept.sealed == 1
    assert queues.client.sismember(queues.fleet.keys.watched, shard.keys.name)
    assert [*queues.registered] == [queue.name]
    view = queues.view(queue)
    assert (view.ready, view.forgotten_age_seconds, view.dropped) == (1, None, {})


def test_without_redis_a_queue_is_not_forgotten(queues: Queues) -> None:
    """A Redis that does not answer is told, not taken for an empty queue."""
    queues.add()
    registered = queues.registered
    nowhere = Fleet(redis_py.Redis(port=1), queues.settings.namespace)

    with pytest.raises(QueueUnavailable):
        operations.forget(nowhere, OPERATOR, registered)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterGroup]:
    """Three masters."""
    with ClusterGroup(3) as running:
        yield running


def test_a_queue_is_forgotten_in_a_cluster(cluster: ClusterGroup) -> None:
    """Shards on several nodes go one by one, the registration on another one last."""
    fleet = Fleet(open_client(cluster.url, timeout_seconds=5), "vwo")
    limits = Limits(3, 60_000, 100, 50, 5_000, 2, 3_000)
    destination = Destination(account_id=1, sdk_key="k" * 32, generation="fme")
    fleet.register(Registration(destination, limits, 5))

    (done,) = operations.forget(fleet, OPERATOR, fleet.registrations().readable)

    left = set()
    for node in cluster.masters:
        with client_of(node) as client:
            left |= {str(key).rpartition(":")[2] for key in client.keys("*")}
    assert done.why == ""
    assert left == {"former", "audit"}
