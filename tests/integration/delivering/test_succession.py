"""The end of one batch and the begin of the next share a packet, and each concludes rightly alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tools.round_trips import round_trips
from tools.selective_vwo import Delivering, Vwo
from tools.tcpproxy import TcpProxy
from vwo_celery import signals
from vwo_celery.connections import open_hint_client, open_worker_client
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.registration import Wakeup

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups")
#: Declared keys of a queue that is not empty.
KEPT = ("ready", "info", "batch", "leases")
USER = "succession"


def make(redis_url: str, vwo: Vwo, **options: Any) -> Delivering:
    """A queue and a worker whose turn does not end, however slow the machine."""
    made = Delivering(redis_url, vwo.standin, **{"per_request": 2, **options})
    made.worker.clock = lambda: 0.0
    return made


@pytest.fixture
def made(redis_url: str, vwo: Vwo) -> Delivering:
    """A queue of two events a batch, to whose signals nobody listens."""
    return make(redis_url, vwo)


@pytest.fixture
def user_url(redis: Any, redis_url: str) -> Iterator[str]:
    """The URL of a user that may do everything, until the test denies it something."""
    redis.execute_command("ACL", "SETUSER", USER, "reset", "on", ">p", "~*", "&*", "+@all")
    parts = urlsplit(redis_url)
    yield parts._replace(netloc=f"{USER}:p@{parts.netloc}").geturl()
    redis.execute_command("ACL", "DELUSER", USER)


def use(made: Delivering, url: str) -> None:
    """Have the worker reach Redis by this URL."""
    client = open_worker_client(url)
    settings = made.queue.settings
    fleet = Fleet(client, settings.namespace, open_hint_client(url, client))
    made.worker = Worker(fleet, settings, made.woken.append, clock=lambda: 0.0)


def fill(made: Delivering, batches: int) -> None:
    """Seal so many batches, whose wake-ups are lost."""
    made.enqueue(*range(2 * batches))
    made.shard.client.delete(made.shard.keys.slots)


def run(made: Delivering) -> int:
    """Run one task; the number of its batches."""
    return deliver(made.worker, Wakeup(made.queue.name, 0, ""))


def states(made: Delivering) -> list[tuple[int, str]]:
    """Attempt and state of each batch, the oldest first."""
    return [(batch.attempt, batch.state) for batch in made.state.batches]


def counted(made: Delivering, counter: str) -> int:
    """One counter of the shard."""
    return int(made.shard.client.hget(made.shard.keys.meta, counter) or 0)


def once(vwo: Vwo, judge: Any) -> None:
    """Do something while VWO has the first batch."""
    began: list[int] = []

    def answer(_: list[int]) -> None:
        if not began:
            began.append(1)
            judge()

    vwo.judge = answer


def trips(made: Delivering, batches: int) -> int:
    """Round trips to Redis of a task that delivers so many batches."""
    fill(made, batches)
    with round_trips() as so_far:
        assert run(made) == batches
        return so_far()


def test_a_batch_takes_one_round_trip_to_redis(made: Delivering) -> None:
    """One packet acks a batch, claims the next, and reads its events; whatever the number of batches."""
    trips(made, 1)

    assert trips(made, 12) - trips(made, 2) == 10


def test_a_batch_takes_two_round_trips_where_somebody_hears_of_it(made: Delivering) -> None:
    """A receiver runs between the ack and the next claim, which reads the events in its packet."""
    stop = made.listen()
    trips(made, 1)

    longer, shorter = trips(made, 12), trips(made, 2)
    stop()

    assert longer - shorter == 2 * 10


def test_nothing_is_leased_while_a_receiver_runs(made: Delivering) -> None:
    """However long a receiver takes, it holds up no other batch."""
    leased: list[int] = []

    def hear(**_: Any) -> None:
        leased.append(made.shard.client.zcard(made.shard.keys.leases))

    fill(made, 3)
    signals.batch_delivered.connect(hear)
    run(made)
    signals.batch_delivered.disconnect(hear)

    assert leased == [0, 0, 0]


def test_one_lane_is_enough(redis_url: str, vwo: Vwo) -> None:
    """The ack comes before the claim, so it does where only one batch may be in flight."""
    made = make(redis_url, vwo, max_parallel_sends=1)
    trips(made, 1)

    assert trips(made, 12) - trips(made, 2) == 10


def test_large_batches_are_read_whole(redis_url: str, vwo: Vwo) -> None:
    """A batch of more events than one page holds is read as usual."""
    made = make(redis_url, vwo, per_request=1_500)
    made.enqueue(*range(4_500))

    run(made)

    assert vwo.accepted == [[*range(start, start + 1_500)] for start in (0, 1_500, 3_000)]


def test_a_large_batch_that_follows_a_small_one_is_read_whole(redis_url: str, vwo: Vwo) -> None:
    """What came with the claim is one page; a batch that has more events is read anew."""
    made = make(redis_url, vwo, per_request=1_500)
    made.enqueue(0, 1)
    made.shard.sweep(force=True, idle_ms=1)
    made.enqueue(*range(2, 1_502))

    run(made)

    assert vwo.accepted == [[0, 1], [*range(2, 1_502)]]


def test_no_page_of_large_batches_is_read_in_vain(redis_url: str, vwo: Vwo, redis: Any) -> None:
    """Where a batch takes two pages, none is asked for together with a claim, and read again."""
    made = make(redis_url, vwo, per_request=1_500)
    made.enqueue(*range(4_500))
    redis.config_resetstat()

    run(made)

    assert redis.info("commandstats")["cmdstat_lrange"]["calls"] == 3 * 2


def test_the_events_are_those_of_the_batch_that_was_claimed(made: Delivering, vwo: Vwo) -> None:
    """If another worker takes the batch that was foreseen, the next one leaves with its own events."""
    taken: list[Any] = []
    once(vwo, lambda: taken.append(made.shard.claim(token="", lease_seconds=60)))
    fill(made, 3)

    run(made)
    made.shard.hand_back(taken[0], lease_until_ms=taken[0].lease_until_ms)
    run(made)

    assert vwo.accepted == [[0, 1], [4, 5], [2, 3]]


def test_events_that_are_gone_are_noticed(made: Delivering, vwo: Vwo) -> None:
    """If somebody deleted the foreseen batch's events, they count as vanished, and others go on."""
    fill(made, 3)
    second = made.state.batches[1].id
    once(vwo, lambda: made.shard.client.delete(made.shard.keys.batch(second)))

    run(made)

    assert vwo.accepted == [[0, 1], [4, 5]]
    assert counted(made, "dropped:vanished") == 2


def test_forgotten_scripts_are_loaded_again(made: Delivering, vwo: Vwo, redis: Any) -> None:
    """If Redis forgets the scripts during a POST, ack and claim conclude all the same."""
    once(vwo, redis.script_flush)
    fill(made, 3)

    assert run(made) == 3

    assert made.taken == Counter(range(6))
    assert states(made) == []


def test_a_claim_that_came_before_its_ack_is_asked_again(
    redis_url: str, vwo: Vwo, redis: Any
) -> None:
    """If Redis knows the claim and not the ack, one batch may seem to be in flight still."""
    made = make(redis_url, vwo, max_parallel_sends=1)

    def forget_all_but_the_claim() -> None:
        redis.script_flush()
        redis.script_load(script("claim").text)

    once(vwo, forget_all_but_the_claim)
    fill(made, 3)

    assert run(made) == 3

    assert made.taken == Counter(range(6))
    assert states(made) == []


@pytest.mark.declared_keys(*KEPT)
def test_a_denied_ack_is_an_error_and_leases_nothing_more(
    made: Delivering, vwo: Vwo, redis: Any, user_url: str
) -> None:
    """If the ack is denied, the task fails, and the batch claimed in its packet is free, uncounted."""
    use(made, user_url)

    def deny() -> None:
        redis.execute_command("ACL", "SETUSER", USER, "-unlink")
        redis.delete(made.shard.keys.slots)  # so that the claim asks for help

    once(vwo, deny)
    fill(made, 3)

    with pytest.raises(QueueUnavailable, match=r"^ack of batch"):
        run(made)

    assert vwo.accepted == [[0, 1]]
    assert sorted(states(made)) == [(0, "ready"), (0, "ready"), (1, "in_flight")]
    assert redis.zcard(made.shard.keys.slots) == 0


@pytest.mark.declared_keys(*KEPT)
def test_a_denied_claim_hides_no_delivery(
    made: Delivering, vwo: Vwo, redis: Any, user_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the claim is denied, the batch before is delivered, and its line in the log says so."""
    use(made, user_url)
    once(vwo, lambda: redis.execute_command("ACL", "SETUSER", USER, "-zrangebyscore"))
    fill(made, 2)

    with caplog.at_level("INFO"), pytest.raises(QueueUnavailable, match=r"^claim from"):
        run(made)

    assert states(made) == [(0, "ready")]
    assert counted(made, "delivered") == 2
    assert "outcome=delivered" in caplog.text


def test_a_lost_answer_loses_and_repeats_nothing(
    made: Delivering, vwo: Vwo, redis: Any, redis_url: str
) -> None:
    """If its answer is lost, the ack counts once, and the claimed batch comes after its lease."""
    with TcpProxy(urlsplit(redis_url).port or 0) as proxy:
        use(made, proxy.url())
        once(vwo, lambda: proxy.drop_reply_to(script("ack").sha.encode()))
        fill(made, 3)

        run(made)

        assert proxy.replies_dropped == 1
        assert vwo.accepted == [[0, 1], [4, 5]]
        assert counted(made, "delivered") == 4
        (lost,) = made.state.batches
        redis.zadd(made.shard.keys.leases, {lost.id: 1})
        run(made)
        made.worker.fleet.client.close()

    assert made.taken == Counter(range(6))
    assert states(made) == []


@pytest.mark.declared_keys(*KEPT)
def test_a_worker_that_is_told_to_stop_hands_back_what_it_has_not_begun(
    made: Delivering, vwo: Vwo
) -> None:
    """Told between the ack and the next batch, it sends nothing more, and wakes others for the rest."""
    stopping: list[bool] = []
    add = made.worker.batch_log.write
    made.worker.batch_log.write = lambda told: (add(told), stopping.append(True))  # type: ignore[func-returns-value, method-assign, assignment]
    made.worker.stopping = lambda: bool(stopping)
    fill(made, 3)

    assert run(made) == 1

    assert states(made) == [(0, "ready"), (0, "ready")]
    assert made.woken
    assert len(made.worker.leases) == 0


@pytest.mark.declared_keys(*KEPT)
def test_an_error_between_two_batches_hands_the_next_one_back(made: Delivering) -> None:
    """What was claimed with the ack and not begun costs no lease and no attempt."""

    def fail(_: Any) -> None:
        raise KeyboardInterrupt

    made.worker.batch_log.write = fail  # type: ignore[method-assign]
    fill(made, 2)

    with pytest.raises(KeyboardInterrupt):
        run(made)

    assert states(made) == [(0, "ready")]
    assert len(made.worker.leases) == 0


@pytest.mark.declared_keys(*KEPT)
def test_a_lease_that_came_with_an_ack_is_the_process_own(made: Delivering) -> None:
    """A process that ends between two batches hands the next one back, as any that it holds."""
    given: list[int] = []
    made.worker.batch_log.write = lambda _: given.append(made.worker.leases.hand_back_all())  # type: ignore[method-assign, assignment]
    fill(made, 2)

    run(made)

    assert given[0] == 1


@pytest.mark.declared_keys(*KEPT)
def test_a_pause_that_comes_during_a_post_holds_the_next_batch(made: Delivering, vwo: Vwo) -> None:
    """Nothing is claimed after a pause."""
    once(vwo, lambda: made.shard.pause("a test"))
    fill(made, 3)

    assert run(made) == 1
    assert states(made) == [(0, "ready"), (0, "ready")]


def test_an_ack_waits_for_no_look_at_others(made: Delivering, vwo: Vwo) -> None:
    """Where it takes a question to know whether the task goes on, the batch is acked before it is put."""
    seconds = [0.0]
    made.worker.clock = lambda: seconds[0]
    once(vwo, lambda: seconds.append(seconds.pop() + 1))
    waiting: list[int] = []

    def others_wait() -> bool:
        waiting.append(counted(made, "delivered"))
        return False

    fill(made, 2)
    deliver(made.worker, Wakeup(made.queue.name, 0, ""), others_wait)

    assert waiting[0] == 2
