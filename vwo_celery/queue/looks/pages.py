"""Batches of one shard page by page, and the events of a batch: bounded commands, bounded memory.

Beside `shard`; for lists that people and other programs read, where the snapshot would read 100,000
batches at once. Changes nothing: nothing to lose. A list is not of one moment: a batch that comes, or
changes its state, while the list is read may be in it or not; every other batch is in it exactly once,
also while those that were read are taken away.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.looks.lines import read_line
from vwo_celery.queue.looks.snapshots import UNREAD, BatchView, State, view_of
from vwo_celery.queue.pipelining import Command, send_all
from vwo_celery.queue.shard import READ_PAGE_EVENTS, Shard
from vwo_celery.queue.words.keys import as_text

#: Most batches that one command reads.
PAGE_BATCHES: Final = 500
#: Shards that one round trip looks at.
_SHARDS_A_ROUND_TRIP: Final = 500
#: Lines that one command reads where all batches of a shard are counted.
_SLICE_LINES: Final = 1_000


class _Span(NamedTuple):
    """A part of a sorted set: the batches whose score lies between two bounds, in one order."""

    key: str
    low: str
    high: str
    newest_first: bool = False


def batches(
    shard: Shard,
    state: State,
    now_ms: int,
    *,
    page: int = PAGE_BATCHES,
    newest_first: bool = False,
) -> Iterator[BatchView]:
    """Yield the batches in a state, in the order of their `at_ms`.

    Args:
        shard: The shard.
        state: The state.
        now_ms: Redis' time; a batch whose lease has run out by then is ready.
        page: Most batches of one command.
        newest_first: Begin with the latest.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    parts = [
        _of_span(shard, state, span, page) for span in _spans(shard, state, now_ms, newest_first)
    ]
    sign = -1 if newest_first else 1
    yield from heapq.merge(*parts, key=lambda view: sign * view.at_ms)


def _of_span(shard: Shard, state: State, span: _Span, page: int) -> Iterator[BatchView]:
    for found in _walk(shard, span, page):
        yield from _in_state(shard, state, span, found)


def _in_state(
    shard: Shard, state: State, span: _Span, found: Sequence[tuple[bytes, float]]
) -> Iterator[BatchView]:
    views = _views(shard, state, span.key, found)
    if span.key != shard.keys.ready:
        return views
    # Those that wait after a failed attempt lie among the others, also once they are due.
    failed = state == "released"
    return (
        view for view in views if (view.attempt > 0 and view.error not in ("", UNREAD)) is failed
    )


def _spans(shard: Shard, state: State, now_ms: int, newest_first: bool) -> list[_Span]:
    k = shard.keys
    if state == "dead":
        return [_Span(k.dead, "-inf", "+inf", newest_first)]
    if state == "in_flight":
        return [_Span(k.leases, f"({now_ms}", "+inf", newest_first)]
    if state == "released":
        return [_Span(k.ready, "-inf", "+inf", newest_first)]
    # A batch whose lease has run out may be claimed by anyone.
    expired = _Span(k.leases, "-inf", f"{now_ms}", newest_first)
    waiting = _Span(k.ready, "-inf", "+inf", newest_first)
    return [expired, waiting]


def _walk(shard: Shard, span: _Span, page: int) -> Iterator[list[tuple[bytes, float]]]:
    """Read a span page by page, from the last batch of one page to the first of the next.

    The place is a score and an id, not a number: batches that were read may be gone by then, and as
    many others would be skipped. Batches of one score follow one another by their id.
    """
    last: tuple[float, bytes] | None = None
    offset = 0
    while True:
        found = _read(shard, _after(span, last), offset, page)
        fresh = [each for each in found if last is None or _is_after(span, each, last)]
        if offset and len(fresh) == len(found):
            offset = 0  # something before it is gone, and the offset may have skipped others
            continue
        if not fresh and len(found) < page:
            return
        if not fresh:
            offset += page - 1  # one that is known, so that a gap is noticed
            continue
        yield fresh
        same = sum(score == fresh[-1][1] for _, score in fresh)
        carried = offset + len(found) - len(fresh) if last and last[0] == fresh[-1][1] else 0
        offset = max(0, carried + same - 1)
        last = fresh[-1][1], fresh[-1][0]
        if len(found) < page:
            return


def _after(span: _Span, last: tuple[float, bytes] | None) -> _Span:
    if last is None:
        return span
    bound = repr(last[0])
    return span._replace(high=bound) if span.newest_first else span._replace(low=bound)


def _is_after(span: _Span, each: tuple[bytes, float], last: tuple[float, bytes]) -> bool:
    place = each[1], each[0]
    return place < last if span.newest_first else place > last


def _read(shard: Shard, span: _Span, offset: int, page: int) -> list[tuple[bytes, float]]:
    low, high = (span.high, span.low) if span.newest_first else (span.low, span.high)
    found: list[tuple[bytes, float]]
    with unavailable(f"list of batches of {shard.keys.name}"):
        found = shard.client.zrange(
            span.key, low, high, byscore=True, desc=span.newest_first,
            offset=offset, num=page, withscores=True,
        )  # fmt: skip
    return found


def named(
    shard: Shard,
    state: State,
    batch_ids: Sequence[str],
    now_ms: int,
    *,
    page: int = PAGE_BATCHES,
) -> Iterator[BatchView]:
    """Yield those of these batches that are in a state; see `batches`."""
    for start in range(0, len(batch_ids), page):
        some = batch_ids[start : start + page]
        for span in _spans(shard, state, now_ms, newest_first=False):
            with unavailable(f"look for batches of {shard.keys.name}"):
                scores = shard.client.zmscore(span.key, [*some])
            found = [
                (name.encode(), score)
                for name, score in zip(some, scores, strict=True)
                if score is not None and _is_within(span, score, now_ms)
            ]
            yield from _in_state(shard, state, span, found)


def _is_within(span: _Span, score: float, now_ms: int) -> bool:
    """Whether a score is within a span, whose one bound, if it has one, is the present."""
    if span.low != "-inf":
        return score > now_ms
    return span.high == "+inf" or score <= now_ms


def holding(client: Any, shards: Sequence[Shard], states: Sequence[State]) -> list[Shard]:
    """The shards that hold batches in one of these states, or may; many in one round trip.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    found = []
    for start in range(0, len(shards), _SHARDS_A_ROUND_TRIP):
        some = shards[start : start + _SHARDS_A_ROUND_TRIP]
        keys = {(n, span.key): None
                for n, shard in enumerate(some)
                for state in states
                for span in _spans(shard, state, 0, newest_first=False)}  # fmt: skip
        with unavailable("look for batches"):
            answers = send_all(client, [Command(key, ("ZCARD", key)) for _, key in keys], ())
        # One whose key answers with an error may hold some: whoever reads it meets the error.
        held = {n for (n, _), answer in zip(keys, answers, strict=True) if answer}
        found += [shard for n, shard in enumerate(some) if n in held]
    return found


def _views(
    shard: Shard, state: State, key: str, found: Sequence[tuple[bytes, float]]
) -> Iterator[BatchView]:
    """Yield what is known of these members of a set; one that has left it meanwhile is left out."""
    if not found:
        return
    with unavailable(f"read of batches of {shard.keys.name}"):
        lines = shard.client.hmget(shard.keys.info, [name for name, _ in found])
    views = [
        view_of(as_text(name), state, score, line)
        for (name, score), line in zip(found, lines, strict=True)
    ]
    again = _look_again(shard, key, [view.id for view in views if view.error == UNREAD])
    for view, (name, score) in zip(views, found, strict=True):
        if view.id not in again:
            yield view
        elif (length := again[view.id]) is not None:
            yield view_of(as_text(name), state, score, None, length)


def _look_again(shard: Shard, key: str, batch_ids: Sequence[str]) -> dict[str, int | None]:
    """For batches without a line that can be read: their number of events; None if they are gone."""
    if not batch_ids:
        return {}
    with unavailable(f"read of batches of {shard.keys.name}"):
        pipe = shard.client.pipeline(transaction=False)
        pipe.zmscore(key, batch_ids)
        for name in batch_ids:
            pipe.llen(shard.keys.batch(name))
        scores, *lengths = pipe.execute(raise_on_error=False)
        if isinstance(scores, Exception):
            raise scores
    return {
        name: None if score is None else length if isinstance(length, int) else 0
        for name, score, length in zip(batch_ids, scores, lengths, strict=True)
    }


def events(shard: Shard, batch_id: str, start: int = 0, most: int | None = None) -> Iterator[bytes]:
    """Yield the events of a batch, encoded, oldest first, in pages.

    Args:
        shard: The shard.
        batch_id: The batch; one that is gone has no events.
        start: Number of events to leave out, from the oldest on.
        most: Most events to read; None for all.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    yield from list_events(shard, shard.keys.batch(batch_id), start, most)


def open_events(shard: Shard, most: int | None = None) -> Iterator[bytes]:
    """Yield the events of the open list, encoded, oldest first, in pages."""
    yield from list_events(shard, shard.keys.open, 0, most)


def list_events(shard: Shard, key: str, start: int, most: int | None) -> Iterator[bytes]:
    """Yield the events of one of the shard's lists; see `events`."""
    read, left = start, most
    while left is None or left > 0:
        size = READ_PAGE_EVENTS if left is None else min(left, READ_PAGE_EVENTS)
        with unavailable(f"read of events of {shard.keys.name}"):
            page = shard.client.lrange(key, -read - size, -read - 1)
        yield from reversed(page)
        read, left = read + len(page), left if left is None else left - len(page)
        if len(page) < size:
            return


def events_of_batches(shard: Shard) -> Iterator[int]:
    """Yield the number of events of each batch, in whatever state, and read some lines at a time.

    A batch that comes or goes meanwhile may be counted or not; any other is counted once.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    seen: set[bytes] = set()
    cursor: Any = 0
    while True:
        with unavailable(f"read of the batches of {shard.keys.name}"):
            cursor, lines = shard.client.hscan(shard.keys.info, cursor, count=_SLICE_LINES)
            for name in lines.keys() - seen:
                line = read_line(lines[name])
                known = line.events if line else shard.client.llen(shard.keys.batch(as_text(name)))
                yield int(known)
            seen |= lines.keys()
        if not cursor:
            return
