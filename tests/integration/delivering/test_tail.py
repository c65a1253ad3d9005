"""`vwo-celery tail`: what becomes of batches is heard as it happens, and what was missed is told."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.processes import Process
from tools.producers import worker_fleet
from tools.selective_vwo import Delivering, Make, Vwo
from tools.waiting import wait_until
from vwo_celery.operating.looks.following import Following
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.work import tailing
from vwo_celery.queue.work.results import outline, result_text
from vwo_celery.queue.work.tailing import Heard, Lost, Missed, Told
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(
    "ready", "leases", "info", "dead", "batch", "slots", "wakeups", "watched", "births", "released"
)
#: Longer than what becomes of a batch is waited for; a look waits half a second at most.
MOST_LOOKS = 60


def fleet_of(made: Delivering) -> Fleet:
    """The queues, on connections of the follower's own."""
    return worker_fleet(made.queue)


def followed(made: Delivering) -> Iterator[Told | None]:
    """What is heard of all queues; it has begun."""
    fleet = fleet_of(made)
    following = Following(fleet, [], lambda queues: fleet.registrations().readable)
    found = following.follow(lambda seconds: None)
    assert next(found) is None
    return found


def until(found: Iterator[Told | None], wanted: Callable[[Told], object]) -> list[Told]:
    """What is told up to, and with, the first that is *wanted*."""
    told: list[Told] = []
    for _, each in zip(range(MOST_LOOKS), found, strict=False):
        if each is not None:
            told.append(each)
            if wanted(each):
                return told
    raise AssertionError(f"not told within {MOST_LOOKS} looks: {told}")


def outcomes(told: list[Told]) -> list[tuple[Any, ...]]:
    """Events, outcome, answer and attempt of what was heard."""
    return [
        (each.events, each.settled.outcome, each.settled.answer, each.settled.attempt)
        for each in told
        if isinstance(each, Heard)
    ]


def test_outcomes_are_heard_as_they_happen(vwo: Vwo, make: Make) -> None:
    """Of each attempt one hears queue, batch, events, outcome, VWO's answer and which attempt it was."""
    made = make(per_request=2, circuit_failures=100)
    made.enqueue(1)
    made.deliver()  # registers the queue; not heard
    found = followed(made)
    vwo.judge = lambda numbers: 400 if 3 in numbers else None
    made.enqueue(2, 3, 4, 5)
    dead = made.shard.keys.dead
    made.deliver_until(lambda: made.shard.client.zcard(dead) and [4, 5] in vwo.accepted)
    expected = {(2, "delivered", "200"), (1, "delivered", "200"), (1, "dead_lettered", "400")}
    missing = set(expected)

    told = until(found, lambda each: missing.discard(outcomes([each])[0][:3]) or not missing)

    assert {each[:3] for each in outcomes(told)} == expected
    assert all(attempt >= 1 for *_, attempt in outcomes(told))
    assert {each.queue for each in told if isinstance(each, Heard)} == {made.queue.name}
    assert all(each.settled.batch for each in told if isinstance(each, Heard))


def test_a_released_batch_is_heard_with_its_error(vwo: Vwo, make: Make) -> None:
    """A batch that VWO does not accept now is told with its answer and the reason."""
    made = make(per_request=1, circuit_failures=100)
    made.enqueue(1)
    made.deliver()
    found = followed(made)
    vwo.judge = lambda numbers: 503
    made.enqueue(2)
    made.deliver()

    (told,) = until(found, lambda each: isinstance(each, Heard))

    assert outcomes([told]) == [(1, "released", "503", 1)]
    assert isinstance(told, Heard)
    assert (told.error or "").startswith("VWO answered 503")


def test_a_new_queue_and_the_interest_are_renewed(
    vwo: Vwo, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every few seconds the follower says again that it listens, also to queues that are new."""
    first = make(per_request=1)
    first.enqueue(1)
    first.deliver()
    now = [1_000.0]
    monkeypatch.setattr(tailing, "monotonic", lambda: now[0])
    found = followed(first)
    second = make(per_request=1, sdk_version="9.9.9")
    second.enqueue(2)
    for made in (first, second):
        made.shard.client.hdel(made.shard.keys.meta, "results_until")

    now[0] += 6
    next(found)
    second.deliver()

    (told,) = until(found, lambda each: isinstance(each, Heard))
    assert isinstance(told, Heard)
    assert told.queue == second.queue.name
    assert first.shard.client.hget(first.shard.keys.meta, "results_until")


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that a test may stop; it keeps what it acknowledged."""
    with RedisServer(appendonly=True) as server:
        yield server


def test_what_was_missed_is_told_in_numbers(own_redis: RedisServer, vwo: Vwo) -> None:
    """While Redis is away nothing is heard; once it is back, one reads how much happened meanwhile."""
    made = Delivering(own_redis.url, vwo.standin, per_request=2)
    made.enqueue(1, 2)
    made.deliver()
    found = followed(made)
    made.enqueue(3, 4)
    made.deliver()
    until(found, lambda each: isinstance(each, Heard))
    own_redis.stop()

    lost = until(found, lambda each: isinstance(each, Lost))
    own_redis.start()
    made.enqueue(5, 6, 7)
    wait_until(lambda: made.deliver() >= 0 and vwo.accepted[-1] == [7], 10)
    missed = until(found, lambda each: isinstance(each, Missed))[-1]
    made.enqueue(8)
    wait_until(lambda: made.deliver() >= 0 and vwo.accepted[-1] == [8], 10)
    heard = until(found, lambda each: isinstance(each, Heard))

    assert len(lost) == 1
    assert isinstance(missed, Missed)
    assert (missed.delivered, missed.dead) == (3, 0)
    assert outcomes(heard) == [(1, "delivered", "200", 1)]


def test_a_connection_that_is_cut_and_back_is_a_gap(vwo: Vwo, make: Make, redis: Any) -> None:
    """Where Redis cuts the listener off, as one that reads too slowly, that is told, too."""
    made = make(per_request=1)
    made.enqueue(1)
    made.deliver()
    found = followed(made)
    next(found)
    redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    told = until(found, lambda each: isinstance(each, Missed))

    assert [type(each) for each in told] == [Lost, Missed]


def test_ctrl_c_ends_it_with_0(
    vwo: Vwo, make: Make, tmp_path: Path, redis_url: str, redis: Any
) -> None:
    """The command prints a line for each outcome until Ctrl-C, and then exits 0."""
    made = make(per_request=1)
    made.enqueue(1)
    made.deliver()
    words = ("python", "-m", "vwo_celery", "tail", "--redis-url", redis_url)
    with (
        Process(*words, "--json", folder=tmp_path, name="json") as of_json,
        Process(*words, "--queue", made.queue.name, folder=tmp_path, name="lines") as of_lines,
    ):
        for each in (of_json, of_lines):
            each.wait_for_log("listening to 1 queue")
        wait_until(lambda: _listeners(made, redis) >= 2, 20)
        made.enqueue(2)
        made.deliver()
        of_json.wait_for_log('"outcome"')
        of_lines.wait_for_log("delivered")
        for each in (of_json, of_lines):
            os.kill(each.pid, signal.SIGINT)
        codes = [each.wait() for each in (of_json, of_lines)]

    assert codes == [0, 0]
    (line,) = [each for each in of_json.log().splitlines() if each.startswith("{")]
    document = json.loads(line)
    assert set(document) == {
        "at_ms", "queue", "batch", "events", "outcome", "answer", "attempt", "error",
    }  # fmt: skip
    assert (document["events"], document["answer"], document["attempt"]) == (1, "200", 1)
    assert f"{made.queue.name}  1 event  delivered  200  attempt 1" in of_lines.log()
    assert "heard of 1 event in 1 batch" in of_lines.log()


def _listeners(made: Delivering, redis: Any) -> int:
    channel = producer_of(made.queue).fleet.keys.results(made.queue.name)
    ((_, number),) = redis.pubsub_numsub(channel)
    return int(number)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (result_text("413", [b"{}", b"{}"]), ("413", 2, "")),
        (b'[null,[{"a":1}]]', (None, 1, "")),
        (rb'["x",[{"a":"\ud800"}],{"outcome":"split"}]', ("x", 1, "split")),
        (b'[null,[{"a":1}],{"outcome":"split","later":1}]', (None, 1, "split")),
        (b"[null,[{}],7]", (None, 1, "")),
        (b"junk", None),
        (b"[1,2]", None),
    ],
)
def test_an_outcome_of_any_release_is_read(text: bytes, read: Any) -> None:
    """What an older, or a later, release publishes is counted; what is no outcome is left out."""
    found = outline(text)

    assert (found and (*found[:2], found[2].outcome)) == read
