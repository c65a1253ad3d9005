"""A move takes no event to a destination that it contradicts, or that must not be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tools.moves import NEW_KEY, balanced, move, plan
from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from vwo_celery.destinations import Destination
from vwo_celery.errors import DestinationError, MoveRefused
from vwo_celery.operating.batches import move_plans
from vwo_celery.operating.batches.contradictions import contradiction
from vwo_celery.operating.batches.move_plans import Changes
from vwo_celery.operating.operations import Amount

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")
FME = Destination(account_id=1, sdk_key=KEY, generation="fme")


def fme(key: str = KEY, **meta: Any) -> bytes:
    """An FME event with the SDK key that it names."""
    props = {"vwo_envKey": key, **({"vwoMeta": meta} if meta else {})}
    return msgspec.json.encode({"d": {"event": {"name": "shown", "props": props}}})


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (fme(NEW_KEY, a=1, env=NEW_KEY), ""),
        (fme(KEY), "carries the SDK key …cdef"),
        (fme(NEW_KEY, env=KEY), "carries the SDK key …cdef"),
        (fme(NEW_KEY, a=2), "carries the account '2'"),
        (fme(NEW_KEY, a="1"), ""),
        (b'{"d":{"visitor":{"props":{"vwo_fs_environment":"%s"}}}}' % KEY.encode(), "SDK key"),
        (b'{"d":{"event":{"props":{"vwo_fs_environment":"%s"}}}}' % KEY.encode(), "SDK key"),
        (b'{"n":1}', ""),
        (b'{"d":[]}', ""),
        (b"not JSON", ""),
    ],
)
def test_events_that_name_another_key_or_account_contradict(event: bytes, found: str) -> None:
    """An FME event contradicts a destination whose key or account is not the one that it names."""
    target = msgspec.structs.replace(FME, sdk_key=NEW_KEY)

    told = contradiction([fme(NEW_KEY), event], target)

    assert found in told if found else told == ""
    assert KEY not in told


def test_a_key_of_the_same_environment_may_replace_another() -> None:
    """Events may carry the replaced key, and no third one."""
    target = msgspec.structs.replace(FME, sdk_key=NEW_KEY)

    assert contradiction([fme(KEY)], target, replaced_key=KEY) == ""
    assert "…cccc" in contradiction([fme("c" * 32)], target, replaced_key=KEY)


def test_legacy_events_name_nothing() -> None:
    """VWO takes the account and the key of a legacy event from the request alone."""
    target = Destination(account_id=2, sdk_key=NEW_KEY, generation="legacy")

    assert contradiction([b'{"u":"1","e":5,"r":"%s"}' % KEY.encode()], target) == ""


def test_a_contradiction_is_refused_before_anything_changes(queues: Queues) -> None:
    """The plan refuses, says why and what to do, and shows no key; with the flag the events move."""
    queue = queues.add()
    assert queue.enqueue(msgspec.json.decode(fme()))

    with pytest.raises(
        MoveRefused, match=r"carries the SDK key …cdef.*--same-environment"
    ) as refused:
        plan(queues, queue)
    moved = move(queues, plan(queues, queue, same_environment=True))

    assert KEY not in str(refused.value)
    assert NEW_KEY not in str(refused.value)
    assert moved.moved == Amount(1, 1)


def test_a_batch_that_contradicts_stays_and_the_others_move(queues: Queues) -> None:
    """A batch whose events contradict the destination is left as it is, and told with its reason."""
    queue = queues.add()
    queues.fill(queue, 5)
    assert all(queue.enqueue_many([msgspec.json.decode(fme())] * 5))
    queues.fill(queue, 5)
    planned = plan(queues, queue)

    moved = move(queues, planned)

    (left,) = moved.left
    assert moved.moved == Amount(2, 10)
    assert (left.batches, left.events) == (1, 5)
    assert "SDK key …cdef" in left.why
    assert queues.claim(queue).id == left.first
    assert balanced(queues)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (Changes(base_url="https://evil.example"), "no worker with these settings may send to"),
        (Changes(sdk_key=KEY), "is the queue that the events are in"),
    ],
)
def test_a_destination_that_must_not_be_is_refused(
    queues: Queues, change: Changes, error: str
) -> None:
    """No event goes to a host that workers refuse, nor into the queue that it is in."""
    queue = queues.add()
    queues.fill(queue, 5)

    with pytest.raises(MoveRefused, match=error):
        plan(queues, queue, change)


def test_a_key_that_is_none_is_refused_unseen(queues: Queues) -> None:
    """A file that holds no key makes an error that does not show what it holds."""
    queue = queues.add()

    with pytest.raises(DestinationError) as refused:
        plan(queues, queue, Changes(sdk_key="two words"))

    assert "two words" not in str(refused.value)


def test_a_move_is_refused_where_the_shapes_differ(queues: Queues) -> None:
    """Events of one generation never go to a queue of the other."""
    queue = queues.add()
    source = queues.registered[queue.name]
    legacy = Destination(account_id=1, sdk_key=KEY, generation="legacy")
    target = msgspec.structs.replace(source, destination=legacy)

    with pytest.raises(MoveRefused, match="of another shape"):
        move_plans.plan_to_queue(queues.fleet, queues.settings, source, target)
