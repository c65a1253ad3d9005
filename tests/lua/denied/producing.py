"""What producers, registrations and copies of settings ask of Redis, with one command denied."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from lua.denied.case import (
    MANY,
    Denied,
    Scenario,
    given_contexts,
    given_mixed,
    given_room,
    on_batch,
)
from lua.pushing import given_mark, next_mark
from lua.world import LIFE, LIMITS, NAMESPACE, room_of
from vwo_celery import Destination
from vwo_celery.queue.capacity import make_room
from vwo_celery.queue.fleet import MOST_WAKEUPS, Fleet
from vwo_celery.queue.handling import forgetting
from vwo_celery.queue.looks.tallies import read_tallies
from vwo_celery.queue.notices import notice_keys
from vwo_celery.queue.records.copies import MOST_COPIES, Copies, CopyName
from vwo_celery.queue.records.reports import Count, new_report, report
from vwo_celery.queue.words.keys import copy_keys
from vwo_celery.queue.words.marks import Mark
from vwo_celery.queue.words.registration import Registration

COPY = CopyName("https://vwo.example", "7", "k", "settings?a=7")


def _given_appending(case: Denied) -> None:
    """A shard with much room, and a mark that no event has used."""
    case.given(limits=MANY, meta={**room_of(1_000, 100_000, accepted=5), "life": LIFE})
    given_mark(case.world, "0")


def _append(case: Denied) -> None:
    _given_appending(case)
    case.append(next_mark(1), b"new")


def _append_again(case: Denied) -> None:
    _given_appending(case)
    assert case.world.shard.append(next_mark(1), b"new")
    case.append(next_mark(1), b"new")


def _append_after_a_loss(case: Denied) -> None:
    _given_appending(case)
    case.world.client.delete(case.world.shard.keys.mark("m"))
    case.append(next_mark(5), b"new")


def _append_without_room(case: Denied) -> None:
    case.given(limits=MANY)
    given_mark(case.world, "0")
    case.append(next_mark(1), b"new")


def _append_without_a_list(case: Denied) -> None:
    _given_appending(case)
    case.world.client.delete(case.world.shard.keys.open)
    counts = {"accepted": 3, "events": 3, "bytes": 12, "open_events": 0, "open_bytes": 0}
    case.world.client.hset(case.world.shard.keys.meta, mapping={**counts, "granted_accepted": 3})
    case.append(next_mark(1), b"new")


def _enqueue(case: Denied) -> None:
    case.given(limits=MANY)
    case.push(Mark("m", 1), b"new")


def _enqueue_full_batches(case: Denied) -> None:
    case.given()
    case.push(Mark("m", 8), *[b"n%d" % n for n in range(8)])


def _enqueue_after_a_seal(case: Denied) -> None:
    case.given(limits=replace(LIMITS, batch_bytes=20))
    case.push(Mark("m", 1), b"x" * 15)


def _enqueue_with_contexts(case: Denied) -> None:
    """Contexts of a list that another release has sealed give way; those of full batches go with them."""
    case.given()
    given_contexts(case)
    case.world.client.lset(case.world.shard.keys.traces, 0, "5:1:00-a-b-01")
    case.push(
        Mark("m", 8), *[b"n%d" % n for n in range(8)], contexts="1 2 00-a-c-01\n3 8 00-a-d-01 x=y\n"
    )


def _enqueue_after_a_loss(case: Denied) -> None:
    case.given(limits=MANY, meta={"life": LIFE})
    case.push(Mark("m", 9, life=LIFE), b"new")


def _enqueue_with_notices(case: Denied) -> None:
    case.given()
    notices = notice_keys(case.world.shard)
    case.world.client.lpush(notices[0], *["old"] * MOST_WAKEUPS)
    case.push(Mark("m", 8), *[b"n%d" % n for n in range(8)], notices=notices)
    case.world.client.delete(*notices)  # no shard's keys


def _enqueue_beyond_capacity(case: Denied) -> None:
    case.given(limits=replace(LIMITS, capacity_events=5))
    case.push(Mark("m", 1), b"new")
    case.pushed.clear()


def _make_room(case: Denied, capacity: int, *, mixed: bool = False) -> None:
    limits = replace(LIMITS, capacity_events=capacity)
    if mixed:
        given_mixed(case)
        case.world.shard.set_limits(limits)
    else:
        case.given(state="ready", at=-2, limits=limits, meta={"refused": 1})
    case.act(make_room, case.shard, [b"new"])


def _register(case: Denied) -> None:
    case.given()
    registration = Registration(
        Destination(account_id=1, sdk_key="k" * 32, generation="fme"), LIMITS
    )
    fleet = Fleet(case.user, NAMESPACE)
    case.act(fleet.register, registration)
    case.world.client.delete(fleet.keys.watched)  # no shard's key


def _limit_forgotten(case: Denied) -> None:
    case.world.given()
    assert forgetting.forget_shard(case.world.shard, idle_seconds=None, delete=True).code == 1
    case.act(case.shard.set_limits, LIMITS, known_life=LIFE)


def _report(case: Denied) -> None:
    """The report is counted once: as soon as the command is allowed, or at once."""
    case.given()
    told = new_report(0, {"spooled": Count(7, 1.0, 1.0)})
    case.act(report, case.shard, told, now=2.0)
    report(case.world.shard, told, now=3.0)
    assert read_tallies([case.world.shard])[0].spooled.events == 7


def _copies(client: Any) -> Copies:
    return Copies(client, NAMESPACE, fetch_seconds=5.0)


def _let_in(case: Denied) -> None:
    _given_appending(case)
    case.let_in(next_mark(1), b"new")


def _let_in_after_a_loss(case: Denied) -> None:
    _given_appending(case)
    case.world.client.delete(case.world.shard.keys.mark("m"))
    case.let_in(next_mark(5), b"new")


def _let_in_without_room(case: Denied) -> None:
    case.given(limits=MANY)
    given_mark(case.world, "0")
    case.let_in(next_mark(1), b"new")


def _remember(case: Denied) -> None:
    """Keep a copy in place of an old one, as the process whose task it is."""
    case.given()
    token = _copies(case.world.client).recall(COPY).token
    index = "".join(f"{i:x} 1 1;" for i in range(MOST_COPIES))
    case.world.client.hset(copy_keys(NAMESPACE, COPY.owner, "")[0], "index", index)
    case.act(_copies(case.user).remember, COPY, b"{}", token=token)


SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "append": (
        _append, _append_again, _append_after_a_loss, _append_without_room, _append_without_a_list,
    ),
    "enqueue": (
        _enqueue, _enqueue_full_batches, _enqueue_after_a_seal, _enqueue_after_a_loss,
        _enqueue_beyond_capacity, _enqueue_with_notices, _enqueue_with_contexts,
    ),
    "gate": (_let_in, _let_in_after_a_loss, _let_in_without_room),
    "limit": (
        lambda case: (
            given_room(case), case.act(case.shard.set_limits, LIMITS, known_life="another"),
        )[0],
        _limit_forgotten,
    ),
    "make_room": (
        lambda case: _make_room(case, 3),
        lambda case: _make_room(case, 1),
        lambda case: _make_room(case, 1, mixed=True),
    ),
    "recall": (on_batch()(lambda case: case.act(_copies(case.user).recall, COPY)),),
    "register": (_register,),
    "remember": (_remember,),
    "report": (_report,),
}  # fmt: skip
