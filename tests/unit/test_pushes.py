"""Second attempts of a push, and their effect on its mark."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from vwo_celery.queue.words.marks import Mark
from vwo_celery.queue.work.pushes import (
    ALONE,
    PUSH_BYTES,
    PUSH_EVENTS,
    Repeats,
    pages,
    placed_pages,
)

LOST, SLOW, FORGOTTEN = (
    RedisConnectionError("cut"),
    RedisTimeoutError("slow"),
    NoScriptError("none"),
)


@pytest.mark.parametrize(
    ("failures", "allowed"),
    [
        ([LOST], [True]),
        ([SLOW], [True]),
        ([LOST, SLOW], [True, False]),
        ([LOST, FORGOTTEN], [True, True]),
        ([FORGOTTEN, LOST], [True, True]),
        ([FORGOTTEN, FORGOTTEN], [True, False]),
        ([ReadOnlyError("replica")], [False]),
    ],
)
def test_a_push_is_sent_again_once(failures: list[Exception], allowed: list[bool]) -> None:
    """A push is repeated once after a missing answer, and once if the server lacks the scripts."""
    repeats = Repeats(Mark("m", 1, 1))

    assert [repeats.allow(failure) for failure in failures] == allowed


@pytest.mark.parametrize("failure", [LOST, SLOW])
def test_a_push_whose_answer_is_missing_is_in_doubt(failure: Exception) -> None:
    """A push without an answer may be stored, now or later: its mark is in doubt from then on."""
    mark = Mark("m", 1, 1)

    Repeats(mark).allow(failure)

    assert mark.in_doubt


def test_a_server_without_the_scripts_has_stored_nothing() -> None:
    """A server that lacks the scripts has stored nothing: the mark is not in doubt."""
    mark = Mark("m", 1, 1)

    Repeats(mark).allow(FORGOTTEN)

    assert not mark.in_doubt


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([5] * 3, [3]),
        ([5] * (2 * PUSH_EVENTS + 1), [PUSH_EVENTS, PUSH_EVENTS, 1]),
        ([PUSH_BYTES - 1, 1, 1], [2, 1]),
        ([PUSH_BYTES + 1, 1], [1, 1]),
    ],
)
def test_events_leave_in_pages(sizes: list[int], expected: list[int]) -> None:
    """A page has a bounded number of events and bytes, in order; a larger event goes alone."""
    texts = [b"x" * size for size in sizes]

    found = list(pages(texts))

    assert [len(page) for page in found] == expected
    assert [text for page in found for text in page] == texts


def test_pages_know_their_place_in_a_call() -> None:
    """All but the last are followed, and all are of one lot; a page alone has neither."""
    events = [b"x"] * (2 * PUSH_EVENTS + 1)

    found = [place for _, place in placed_pages(events)]

    assert [page for page, _ in placed_pages(events)] == list(pages(events))
    assert [place.more_follow for place in found] == [True, True, False]
    assert len({place.lot for place in found}) == 1
    assert [place for _, place in placed_pages([b"x"])] == [ALONE]
    assert list(placed_pages([])) == []
