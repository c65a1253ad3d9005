"""Marks: a push carries one by which Redis recognises repeats and notices losses."""

from __future__ import annotations

from copy import deepcopy

import pytest

from vwo_celery.queue.words.marks import (
    OLD_FROM_SEQUENCE,
    OLD_TTL_SECONDS,
    YOUNG_TTL_SECONDS,
    Mark,
    Marks,
    push_token,
)


class Clock:
    """A clock that a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def marks(clock: Clock) -> Marks:
    """The marks of a process whose shard is in its first life."""
    made = Marks(clock)
    made.renew("first life")
    return made


def stored(marks: Marks, events: int) -> Mark:
    """The mark of a stored push, given back."""
    mark = marks.take(events)
    marks.give_back_pushed(mark, renewed=True)
    return mark


def test_a_mark_counts_events(marks: Marks) -> None:
    """A mark's sequence is the number of events pushed under it, over all its pushes."""
    mark = marks.take(3)
    assert (mark.sequence, mark.events) == (3, 3)
    marks.give_back_pushed(mark, renewed=True)

    again = marks.take(2)

    assert (again.id, again.sequence, again.events) == (mark.id, 5, 2)


def test_one_push_at_a_time_has_a_mark(marks: Marks) -> None:
    """Of two concurrent pushes, each has its own mark."""
    assert marks.take(1).id != marks.take(1).id


def test_a_refused_push_leaves_no_trace(marks: Marks) -> None:
    """A refused push gives its number back: the next push has it, and no loss is noticed between them."""
    mark = stored(marks, 3)
    refused = marks.take(5)

    marks.give_back_unused(refused)

    again = marks.take(2)
    assert (again.id, again.sequence) == (mark.id, 5)


def test_a_refused_push_that_may_still_arrive_takes_its_mark_along(marks: Marks) -> None:
    """A mark is not used again if its refused push may still be stored: the next push would be
    taken for its repeat.
    """
    stored(marks, 3)
    refused = marks.take(5)
    refused.doubt()

    marks.give_back_unused(refused)

    assert marks.take(5).id != refused.id


def test_a_push_of_unknown_fate_keeps_its_mark(marks: Marks) -> None:
    """The mark of a push whose fate is unknown is not used again."""
    unknown = marks.take(1)

    assert marks.take(1).id != unknown.id


def test_a_repeat_that_was_stored_gives_its_mark_back(marks: Marks) -> None:
    """The mark of a repeat that was stored is used again: late copies are known by their number."""
    mark = marks.take(1)
    mark.doubt()

    marks.give_back_pushed(mark, renewed=True)

    again = marks.take(1)
    assert (again.id, again.in_doubt) == (mark.id, False)


def test_every_sending_has_a_token_of_its_own(marks: Marks) -> None:
    """Each attempt of a push has its own token: Redis may lose the batch of one, and the next must
    not share its name.
    """
    mark = marks.take(1)

    tokens = {push_token(mark)}
    for _ in range(3):
        mark.doubt()
        tokens.add(push_token(mark))

    assert len(tokens) == 4


@pytest.mark.parametrize(
    ("events", "ttl"),
    [
        (1, YOUNG_TTL_SECONDS),
        (OLD_FROM_SEQUENCE - 1, YOUNG_TTL_SECONDS),
        (OLD_FROM_SEQUENCE, OLD_TTL_SECONDS),
    ],
)
def test_a_mark_that_redis_may_forget_is_given_up(
    marks: Marks, clock: Clock, events: int, ttl: float
) -> None:
    """A mark is used until half of its time to live is over: an expired one would count as a loss."""
    mark = stored(marks, events)
    clock.now += ttl / 2 - 1
    in_time = stored(marks, 0)
    clock.now += ttl / 2

    late = marks.take(1)

    assert in_time.id == mark.id
    assert late.id != mark.id


@pytest.mark.parametrize(
    ("before", "ttl"), [(1, YOUNG_TTL_SECONDS), (OLD_FROM_SEQUENCE, OLD_TTL_SECONDS)]
)
def test_append_is_used_while_the_mark_is_young(
    marks: Marks, clock: Clock, before: int, ttl: float
) -> None:
    """append.lua, which gives a mark no new time to live, stores only in the first quarter of it: so
    the mark is there for as long as its push may be repeated without a look, which is half of it.
    """
    first = stored(marks, before)
    clock.now += ttl / 4 - 1

    answers = []
    for later, renewed in ((2, False), (0, True), (0, False)):
        mark = marks.take(1)
        answers.append((mark.id, mark.appends))
        marks.give_back_pushed(mark, renewed=renewed)
        clock.now += later

    assert answers == [(first.id, True), (first.id, False), (first.id, True)]


def test_the_first_push_under_a_mark_is_not_appended(marks: Marks) -> None:
    """A new mark has no time to live that append.lua could leave it."""
    assert not marks.take(1).appends


def test_a_repeat_that_was_stored_before_renews_nothing(marks: Marks, clock: Clock) -> None:
    """An answer that the push was stored before has given the mark no new time to live."""
    mark = stored(marks, 1)
    clock.now += YOUNG_TTL_SECONDS / 4 + 1
    marks.give_back_pushed(marks.take(1), renewed=False)

    again = marks.take(1)

    assert (again.id, again.appends) == (mark.id, False)


def test_the_push_by_which_a_mark_grows_old_renews_it(marks: Marks) -> None:
    """The event from which a mark is kept for longer is not appended: its mark would be kept for less."""
    stored(marks, OLD_FROM_SEQUENCE - 2)

    answers = []
    for _ in range(3):
        mark = marks.take(1)
        answers.append(mark.appends)
        marks.give_back_pushed(mark, renewed=not mark.appends)

    assert answers == [True, False, True]


def test_a_mark_knows_what_redis_keeps(marks: Marks) -> None:
    """The text of the last push that was stored; a push that was not stored changes nothing."""
    mark = stored(marks, 1)
    kept = mark.number

    marks.give_back_unused(marks.take(5))

    assert marks.take(1).stored == kept


def test_a_mark_behind_one_that_is_too_old_is_found(marks: Marks, clock: Clock) -> None:
    """A mark is found too old although a refusal gave it back in front of a younger one."""
    older, younger = marks.take(1), marks.take(1)
    marks.give_back_pushed(older, renewed=True)
    clock.now += YOUNG_TTL_SECONDS / 2 - 1
    refused = marks.take(1)
    marks.give_back_pushed(younger, renewed=True)
    marks.give_back_unused(refused)
    clock.now += 2

    assert marks.take(1).id == younger.id


def test_another_life_begins_with_other_marks(marks: Marks) -> None:
    """After Redis forgot the shard, new marks are used: under the old ones, all their events would
    count as lost.
    """
    idle, under_way, refused = (marks.take(1) for _ in range(3))
    marks.give_back_pushed(idle, renewed=True)

    marks.renew("second life")
    marks.give_back_pushed(under_way, renewed=True)
    marks.give_back_unused(refused)

    new = marks.take(1)
    assert new.id not in (idle.id, under_way.id, refused.id)
    assert (new.life, marks.life) == ("second life", "second life")


def test_the_same_life_goes_on_with_its_marks(marks: Marks) -> None:
    """Registering again, as after a fork or a change of limits, keeps the marks of the same life."""
    mark = stored(marks, 1)

    marks.renew("first life")

    assert marks.take(1).id == mark.id


def test_a_clone_is_told_from_its_original(marks: Marks, clock: Clock) -> None:
    """Two copies of a process push under one mark and sequence, with numbers that differ."""
    mark = stored(marks, 3)
    clone = Marks(clock)
    clone.renew(marks.life)
    clone.give_back(deepcopy(mark))

    ours, theirs = marks.take(1), clone.take(1)

    assert (theirs.sequence, float(theirs.number)) == (ours.sequence, float(ours.number))
    assert theirs.number != ours.number
    assert push_token(theirs) != push_token(ours)


def test_a_clone_of_an_old_snapshot_uses_no_mark_of_it(marks: Marks) -> None:
    """A mark is given up if the host's date has gone on since, though the machine has stood still."""
    mark = stored(marks, 3)
    mark.renewed_ns -= int(1e9 * YOUNG_TTL_SECONDS)

    assert marks.take(1).id != mark.id


def test_nonces_change_no_number() -> None:
    """The longest nonce after the smallest sequence is too small to change it, in Lua as in Python."""
    assert float(Mark("m", 1, nonce="9" * 15).number) == 1.0
