"""The queue that an application uses: its receipts are true, and each call has a bounded cost."""

from __future__ import annotations

from collections import Counter

import pytest
import redis as redis_py

import vwo_celery
from tools.producers import KEPT, connect, numbers, snapshot, stored, worker_fleet
from tools.redis_commands import commands_sent
from vwo_celery.errors import QueueFull
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.receipts import IN_REDIS, Receipt
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(*KEPT)


# -- receipts


def test_an_event_is_stored_as_it_goes_on_the_wire(redis: redis_py.Redis, redis_url: str) -> None:
    """An event is stored where the receipt says, in compact JSON and in order."""
    queue = connect(redis_url)

    receipts = [queue.enqueue({"n": 1, "name": "Zoë"}), queue.enqueue(b'{"n":2}')]

    assert receipts == [IN_REDIS, IN_REDIS]
    assert stored(redis) == ['{"n":1,"name":"Zoë"}'.encode(), b'{"n":2}']
    assert queue.dropped == {}
    assert snapshot(redis).balanced


def test_many_events_get_a_receipt_each(redis: redis_py.Redis, redis_url: str) -> None:
    """Each of many events has a receipt; one that JSON cannot carry is dropped alone, with its
    reason, and counted.
    """
    queue = connect(redis_url)

    receipts = queue.enqueue_many([{"n": 0}, {"n": float("nan")}, {"n": 1}, "no object"])

    assert [receipt.where for receipt in receipts] == ["redis", "dropped", "redis", "dropped"]
    assert all(receipt.reason for receipt in receipts if not receipt)
    assert stored(redis) == numbers(2)
    assert sum(queue.dropped.values()) == 2


def test_the_log_names_what_keeps_an_event_from_being_sent(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning about a dropped event names the place in it and the type there, and no value."""
    destination = vwo_celery.Destination(account_id=30_905, sdk_key="k" * 32, generation="fme")
    queue = vwo_celery.connect(destination, redis_url=redis_url)

    receipt = queue.enqueue({"d": {"props": {"paid": ["secret", 1 + 2j], "a\nb": 1}}})

    assert (receipt.where, receipt.reason) == ("dropped", "not_json")
    assert "d.props.paid[1] a value of type complex" in caplog.text
    assert "secret" not in caplog.text


def test_no_events_are_no_round_trip(redis: redis_py.Redis, redis_url: str) -> None:
    """Enqueuing no events sends nothing to Redis."""
    queue = connect(redis_url)

    with commands_sent(redis) as sent:
        assert queue.enqueue_many([]) == []
        assert sent() == []


def test_connecting_connects_to_nothing() -> None:
    """Making a queue connects to nothing, and cannot fail because Redis is away."""
    queue = connect(f"redis://127.0.0.1:{free_port()}/0")

    assert queue.dropped == {}


# -- round trips


def test_an_enqueue_is_one_command(redis: redis_py.Redis, redis_url: str) -> None:
    """Once the queue is known, an event that seals nothing takes one round trip."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})

    with commands_sent(redis) as sent:
        for n in range(1, 11):
            queue.enqueue({"n": n})
        commands = sent()

    assert [command.split()[0] for command in commands] == ["EVALSHA"] * 10


def test_an_event_that_opens_or_fills_a_batch_is_one_command(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """The event before tells that it will: each takes one round trip, its wake-up included."""
    queue = connect(redis_url)
    queue.enqueue({"n": 0})

    with commands_sent(redis) as sent:
        for n in range(1, 301):
            queue.enqueue({"n": n})
        commands = sent()

    assert [command.split()[0] for command in commands] == ["EVALSHA"] * 300
    assert len(snapshot(redis).batches) == 3
    assert redis.llen(producer_of(queue).fleet.keys.wakeups) == 3


def test_a_batch_that_somebody_else_fills_takes_one_command_more(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """Nobody has told this process: its event is left to a second command, which stores it once."""
    queue, other = connect(redis_url), connect(redis_url)
    assert all(queue.enqueue({"n": n}) for n in range(2))
    other.enqueue_many([{"n": n} for n in range(2, 100)])

    with commands_sent(redis) as sent:
        queue.enqueue({"n": 100})
        commands = sent()

    assert [command.split()[0] for command in commands] == ["EVALSHA"] * 2
    assert Counter(stored(redis)) == Counter(numbers(101))


@pytest.mark.parametrize(("count", "commands"), [(99, 1), (1_000, 1), (1_001, 2), (2_500, 3)])
def test_many_events_take_one_command_a_thousand(
    redis: redis_py.Redis, redis_url: str, count: int, commands: int
) -> None:
    """A thousand events take one round trip, however many batches they seal."""
    queue = connect(redis_url)
    queue.enqueue({"n": -1})

    with commands_sent(redis) as sent:
        receipts = queue.enqueue_many({"n": n} for n in range(count))
        words = [command.split()[0] for command in sent()]

    assert receipts == [IN_REDIS] * count
    assert words.count("EVALSHA") == commands
    assert set(words) <= {"EVALSHA", "LPUSH", "LTRIM"}
    assert stored(redis) == [b'{"n":-1}', *numbers(count)]


def test_large_events_are_sent_in_commands_of_a_megabyte(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """Large events are sent in commands of at most a megabyte: none blocks Redis for long."""
    queue = connect(redis_url)
    queue.enqueue({"n": -1})

    with commands_sent(redis) as sent:
        queue.enqueue_many({"n": n, "text": "x" * 300_000} for n in range(8))
        commands = [command for command in sent() if command.startswith("EVALSHA")]

    assert len(commands) == 3
    assert max(map(len, commands)) < 1_100_000
    assert snapshot(redis).accepted == 9


# -- batches


def test_real_time_makes_each_event_a_batch(redis: redis_py.Redis, redis_url: str) -> None:
    """Without batch settings every event is a ready batch at once, and a worker is woken for it."""
    queue = connect(redis_url, batch=None, max_parallel_sends=8)

    receipts = [queue.enqueue({"n": n}) for n in range(3)]

    assert receipts == [IN_REDIS] * 3
    assert [batch.events for batch in snapshot(redis).batches] == [1, 1, 1]
    assert snapshot(redis).open_events == 0
    assert redis.llen(producer_of(queue).fleet.keys.wakeups) == 3


def test_a_full_batch_leaves_a_wakeup(redis: redis_py.Redis, redis_url: str) -> None:
    """The wake-up of a full batch names the shard and the slot."""
    queue = connect(redis_url, batch={"events_per_request": 3})

    queue.enqueue_many({"n": n} for n in range(4))

    fleet = worker_fleet(queue)
    wakeup = fleet.next_wakeup(1.0)
    assert isinstance(wakeup, Wakeup)
    assert (wakeup.queue, wakeup.shard) == (queue.name, 0)
    assert redis.zscore(producer_of(queue).shards[0].keys.slots, wakeup.token) is not None
    assert fleet.next_wakeup(0.01) is None


def test_wakeups_are_bounded_by_parallel_sends(redis: redis_py.Redis, redis_url: str) -> None:
    """A flood of full batches leaves as many wake-ups as `parallel` allows, and no more."""
    queue = connect(redis_url, batch=None, max_parallel_sends=4)

    queue.enqueue_many({"n": n} for n in range(500))
    queue.enqueue({"n": 500})

    assert redis.llen(producer_of(queue).fleet.keys.wakeups) == 4
    assert snapshot(redis).slots == 4


def test_wakeups_that_nobody_takes_do_not_pile_up(redis: redis_py.Redis, redis_url: str) -> None:
    """If no worker runs for long, the list of wake-ups stays short."""
    queue = connect(redis_url, batch=None)

    for n in range(6):
        producer_of(queue).fleet.leave_wakeups(queue.name, 0, [f"{n}:{i}" for i in range(400)])

    assert redis.llen(producer_of(queue).fleet.keys.wakeups) == 1_000


def test_another_process_may_have_registered_smaller_batches(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A producer that expects large batches stores its events in the smaller registered batches."""
    ours = connect(redis_url)
    ours.enqueue({"n": 0})
    theirs = connect(redis_url, batch={"events_per_request": 2})
    theirs.enqueue({"n": 1})

    receipts = ours.enqueue_many({"n": n} for n in range(2, 12))
    single = ours.enqueue({"n": 12})

    assert receipts == [IN_REDIS] * 10
    assert single == IN_REDIS
    assert [batch.events for batch in snapshot(redis).batches] == [2] * 6
    assert Counter(stored(redis)) == Counter(numbers(13))
    assert ours.dropped == {}


def test_another_process_may_have_registered_larger_batches(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """The last registration of limits counts for every producer."""
    ours = connect(redis_url, batch={"events_per_request": 2})
    ours.enqueue({"n": 0})
    connect(redis_url, batch={"events_per_request": 5}).enqueue({"n": 1})

    ours.enqueue_many({"n": n} for n in range(2, 12))

    assert [batch.events for batch in snapshot(redis).batches] == [5, 5]
    assert stored(redis) == numbers(12)


def test_shards_share_the_events(redis: redis_py.Redis, redis_url: str) -> None:
    """Every event is in one shard, and every shard gets some."""
    queue = connect(redis_url, shards=3)

    receipts = [queue.enqueue({"n": n}) for n in range(90)]

    held = [stored(redis, shard) for shard in range(3)]
    assert receipts == [IN_REDIS] * 90
    assert all(held)
    assert Counter(text for shard in held for text in shard) == Counter(numbers(90))


# -- capacity


def test_a_full_queue_drops_the_newest(redis: redis_py.Redis, redis_url: str) -> None:
    """An event that does not fit is not stored; the receipt says so, and producer and Redis count it."""
    queue = connect(redis_url, max_queue_events=3, when_full="drop_newest")

    receipts = [queue.enqueue({"n": n}) for n in range(5)]

    full = Receipt(where="dropped", reason="queue_full")
    assert receipts == [IN_REDIS, IN_REDIS, IN_REDIS, full, full]
    assert stored(redis) == numbers(3)
    assert queue.dropped == {"queue_full": 2}
    assert snapshot(redis).refused == 2
    assert snapshot(redis).balanced


def test_a_full_queue_may_raise(redis: redis_py.Redis, redis_url: str) -> None:
    """With when_full="raise" the caller gets an error at once, and nothing of that push is stored."""
    queue = connect(redis_url, max_queue_events=3, when_full="raise")
    queue.enqueue_many({"n": n} for n in range(2))

    with pytest.raises(QueueFull, match="max_queue_events 3"):
        queue.enqueue_many({"n": n} for n in range(2, 4))

    assert stored(redis) == numbers(2)


def test_capacity_in_bytes(redis: redis_py.Redis, redis_url: str) -> None:
    """Capacity in bytes is enforced like capacity in events."""
    queue = connect(redis_url, max_queue_bytes=1_000, when_full="drop_newest")

    receipts = [queue.enqueue({"n": n, "text": "x" * 300}) for n in range(4)]

    assert [bool(receipt) for receipt in receipts] == [True, True, True, False]


def test_there_is_room_again_once_events_are_delivered(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """Deliveries free capacity: it bounds the undelivered events, not all that were ever accepted."""
    queue = connect(
        redis_url, batch={"events_per_request": 3}, max_queue_events=3, when_full="drop_newest"
    )
    queue.enqueue_many({"n": n} for n in range(3))
    assert not queue.enqueue({"n": 3})
    batch = producer_of(queue).shards[0].claim(token="", lease_seconds=60)
    assert batch is not None
    producer_of(queue).shards[0].ack(batch.id)

    assert queue.enqueue({"n": 4})
