"""The reason why events of a flush are still pending: who does not send them, since when, what next.

Beside an event's way. Looks at counters and at one batch, never at the backlog; changes nothing:
nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.listening import Listening, listening_if_known
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.numbers import number
from vwo_celery.text.amounts import span
from vwo_celery.text.moments import since
from vwo_celery.text.wording import how_to_start

#: Beginning of the reason where nothing stands in the way.
TIME_OVER = "time was over before everything was sent"
_STOP_FIELDS = ("paused", "paused_ms", "held_until", "held_ms", "held_by", "held_why")
#: Open circuits, by their cause.
_HOLDS = {
    "refusal": "VWO refuses what the queue holds",
    "outage": "sending has been failing",
}


def no_worker() -> str:
    """The reason where no worker listens, with its remedy."""
    return f"no worker listens; {how_to_start('worker')}"


def why_pending(fleet: Fleet, shards: Sequence[Shard]) -> str:
    """Say why what these shards of one queue hold was not delivered in time.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    workers = listening_if_known(fleet)
    if workers is not None and not workers:
        return no_worker()
    now_ms = fleet.now_ms()
    obstacles = [_look(shard, now_ms) for shard in shards]
    stop = _first(each.stop(now_ms) for each in obstacles)
    whys = [stop, _why_quiet(workers or ())]
    if not any(whys):
        whys = [_first(each.failure(now_ms) for each in obstacles) or TIME_OVER]
    return "; ".join(filter(None, whys))


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")


def _why_quiet(workers: Sequence[Listening]) -> str:
    """Whether every worker was silent for too long; they are sorted, the one heard last first."""
    if not workers or not workers[0].is_quiet:
        return ""
    return f"no worker has been heard for {span(workers[0].silent_seconds)} ({workers[0].name})"


class _Obstacles(NamedTuple):
    """Facts about one shard: why nothing is claimed, and the batch that is due next after a delay."""

    stops: dict[str, str]
    next_ms: int
    error: str

    def stop(self, now_ms: int) -> str:
        """Why nothing is claimed, "" if it is."""
        stops = self.stops
        if stops.get("paused"):
            return f"the queue is paused{self._since('paused_ms', now_ms)}: {stops['paused']}"
        until_ms = self._number("held_until")
        if not until_ms:
            return ""
        why, by = stops.get("held_why", ""), stops.get("held_by", "")
        if by == "workers":
            return f"no worker that listens may send it: {why}"
        what = _HOLDS.get(by, _HOLDS["outage"])
        return f"{what}{self._since('held_ms', now_ms)}: {why}; {_next_try(until_ms, now_ms)}"

    def failure(self, now_ms: int) -> str:
        """Why the batch that is due next was not accepted, "" if none waits for its next try."""
        if not self.next_ms:
            return ""
        return f"VWO did not accept it yet: {self.error}; {_next_try(self.next_ms, now_ms)}"

    def _since(self, field: str, now_ms: int) -> str:
        at_ms = self._number(field)
        return f" {since(max(0, now_ms - at_ms) / 1000)}" if at_ms else ""

    def _number(self, field: str) -> int:
        return number(self.stops.get(field, "").encode())


def _next_try(at_ms: int, now_ms: int) -> str:
    wait_seconds = (at_ms - now_ms) / 1000
    return f"next try in {span(wait_seconds)}" if wait_seconds > 0 else "next try now"


def _look(shard: Shard, now_ms: int) -> _Obstacles:
    k = shard.keys
    with unavailable(f"look at {k.name}"):
        pipe = shard.client.pipeline(transaction=False)
        pipe.hmget(k.meta, _STOP_FIELDS)
        pipe.zrangebyscore(k.ready, f"({now_ms}", "+inf", start=0, num=1, withscores=True)
        found, waiting = pipe.execute()
        line = shard.client.hget(k.info, waiting[0][0]) if waiting else None
    stops = {name: as_text(text) for name, text in zip(_STOP_FIELDS, found, strict=True) if text}
    error = as_text(line or b"").split(":", 6)[-1]
    return _Obstacles(stops, int(waiting[0][1]) if waiting else 0, error)
