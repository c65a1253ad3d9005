"""Look a copy of settings up, and fetch it from VWO when it is due: one process at a time.

A copy in memory is trusted for a moment, then Redis is asked whether it is still the newest. Where Redis
does not answer, memory alone decides, and each process fetches for itself. A copy that cannot be fetched
anew is used until it is a week old. Nothing to lose: what dies with a process is fetched by another.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.connections import shared_client
from vwo_celery.copies.asking import Asked
from vwo_celery.copies.judging import Worth, complaint, judge
from vwo_celery.copies.memory import Copy, Memory
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import seldom
from vwo_celery.queue.records.copies import FRESH_MS, Copies, CopyName, Recalled
from vwo_celery.sending.wanted import Fetched
from vwo_celery.settings import Settings

if TYPE_CHECKING:
    from vwo_celery.sending.fetching import Fetcher

#: Longest time of one request to VWO.
FETCH_SECONDS: Final = 5.0
#: Most bytes of settings.
MOST_BYTES: Final = 5_000_000
#: How long a copy in memory is used without asking Redis whether another relay has a newer one.
_SURE_SECONDS: Final = 1.0
#: Most copies that are trusted so, before those are forgotten that no longer are.
_MOST_SURE: Final = 1_000
#: Longest wait for one answer of Redis, and pause before it is asked again after none came.
_REDIS_SECONDS: Final = 1.0
_REST_SECONDS: Final = 2.0
#: Pause after which another process may try what this one could not fetch; VWO refused it, or was away.
_REFUSED_MS: Final = 0
_FAILED_MS: Final = 1_000
_JSON: Final = "application/json"
_MOST_TYPE_CHARACTERS: Final = 100


class Reply(msgspec.Struct, frozen=True):
    """What an SDK gets.

    Attributes:
        status: HTTP status, as VWO answered.
        content_type: As VWO sent it.
        body: As VWO sent it.
        stale_seconds: Age of a copy that should have been fetched anew; None for any other answer.
    """

    status: int
    content_type: str
    body: bytes
    stale_seconds: int | None = None


class Task(msgspec.Struct, frozen=True):
    """The task to fetch a copy.

    Attributes:
        asked: What is asked.
        began_ms: Unix ms, by Redis' time, at which it was given; 0 if Redis is away.
        token: Proof for Redis; "" if Redis is away.
    """

    asked: Asked
    began_ms: int = 0
    token: str = ""


class Found(msgspec.Struct, frozen=True):
    """What is known of a copy.

    Attributes:
        reply: What an SDK can get now; None if there is nothing.
        task: The task to fetch it anew; None if that is not due, or another process does.
    """

    reply: Reply | None
    task: Task | None = None

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing better to wait for."""
        return self.reply is not None and self.reply.stale_seconds is None


class Keeper:
    """The copies of one process. Safe under threads.

    Args:
        settings: Say which Redis, and the namespace.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._memory = Memory()
        self._sure: dict[CopyName, float] = {}  # until when a copy is trusted
        self._resting_until = 0.0
        self._fetcher: Fetcher | None = None

    def peek(self, asked: Asked) -> Reply | None:
        """What memory alone can answer for sure; waits for nothing."""
        now, name = monotonic(), asked.name
        refusal = self._memory.refusal(name, now)
        if refusal is not None:
            return _reply(refusal)
        copy = self._memory.copy(name, now)
        is_sure = now < self._sure.get(name, 0.0)
        return _fresh(copy) if copy is not None and is_sure else None

    def look(self, asked: Asked) -> Found:
        """Look a copy up, in Redis if it answers; waits for a second or two at most."""
        name, now = asked.name, monotonic()
        known = self._memory.copy(name, now)
        found = None
        if now >= self._resting_until:
            try:
                found = self._copies().recall(name, known_ms=known.at_ms if known else 0)
            except QueueUnavailable:
                self._resting_until = monotonic() + _REST_SECONDS
        if found is None:
            return self._by_memory(asked, known)
        copy = self._newest(asked, known, found)
        if copy is not None and found.is_fresh:
            self._be_sure(asked)
            return Found(_fresh(copy))
        task = Task(asked, found.now_ms, found.token) if found.token else None
        return Found(_stale(copy), task)

    def _by_memory(self, asked: Asked, known: Copy | None) -> Found:
        if known is not None and 1000 * known.age_seconds(monotonic()) < FRESH_MS:
            return Found(_fresh(known))
        return Found(_stale(known), Task(asked))

    def _newest(self, asked: Asked, known: Copy | None, found: Recalled) -> Copy | None:
        """The copy in Redis, or that of memory where Redis has none or an older one.

        So it is after a loss of its data, or where Redis was away or full and took no newer one.
        """
        if not found.at_ms or found.text is None:
            return known
        born = monotonic() - max(0, found.now_ms - found.at_ms) / 1000
        if known is not None and known.born > born:
            return known
        content_type, _, body = found.text.partition(b"\n")
        copy = Copy(content_type.decode("latin-1"), body, found.at_ms, born)
        self._memory.keep(asked.name, copy)
        return copy

    def fetch(self, task: Task) -> Reply | None:
        """Fetch a copy from VWO; None if VWO gives none. Waits for six seconds or seven at most."""
        asked = task.asked
        fetched = self._vwo().fetch(asked.wanted)
        worth = judge(fetched, asked.account)
        if worth is Worth.COPY:
            return self._keep(task, fetched)
        if task.token:
            with suppress(QueueUnavailable):
                after_ms = _REFUSED_MS if worth is Worth.REFUSAL else _FAILED_MS
                self._copies().give_up(asked.name, after_ms=after_ms)
        if worth is Worth.REFUSAL:
            self._memory.note_refusal(asked.name, fetched, monotonic())
            return _reply(fetched)
        seldom.warn(
            f"settings of {asked.account}", "VWO's settings of account %s cannot be fetched: %s; %s",
            asked.account, complaint(fetched), self._what_now(asked),
        )  # fmt: skip
        return None

    def _vwo(self) -> Fetcher:
        # Here, since requests takes a tenth of a second to load, and most applications never need it.
        from vwo_celery.sending.fetching import Fetcher

        if self._fetcher is None:  # threads that come at once may each make one
            self._fetcher = Fetcher(timeout_seconds=FETCH_SECONDS, most_bytes=MOST_BYTES)
        return self._fetcher

    def _what_now(self, asked: Asked) -> str:
        now = monotonic()
        copy = self._memory.copy(asked.name, now)
        if asked.is_pull or copy is None:
            return "its SDKs get 503"
        return f"its SDKs get those of {copy.age_seconds(now):.0f} seconds ago"

    def _keep(self, task: Task, fetched: Fetched) -> Reply:
        asked, content_type = task.asked, _content_type(fetched)
        at_ms, is_newest = 0, True  # Redis may be full, and then gives everybody the task
        if monotonic() >= self._resting_until:
            with suppress(QueueUnavailable):
                at_ms = self._copies().remember(
                    asked.name, content_type.encode("latin-1") + b"\n" + fetched.body,
                    began_ms=task.began_ms, token=task.token, pulled=asked.is_pull,
                )  # fmt: skip
                is_newest = at_ms > 0
        self._memory.keep(asked.name, Copy(content_type, fetched.body, at_ms, monotonic()))
        if is_newest:
            self._be_sure(asked)
        self._memory.forget_refusal(asked.name)
        return _reply(fetched)

    def _be_sure(self, asked: Asked) -> None:
        """Trust the copy in memory for a moment."""
        now = monotonic()
        if len(self._sure) > _MOST_SURE:
            self._sure = {each: until for each, until in self._sure.items() if until > now}
        self._sure[asked.name] = now + _SURE_SECONDS

    def _copies(self) -> Copies:
        client = shared_client(self._settings.redis_url, timeout_seconds=_REDIS_SECONDS)
        return Copies(client, self._settings.namespace, fetch_seconds=FETCH_SECONDS)

    def close(self) -> None:
        """Close the idle connections to VWO."""
        if self._fetcher is not None:
            self._fetcher.close()


def _fresh(copy: Copy) -> Reply:
    return Reply(200, copy.content_type, copy.body)


def _stale(copy: Copy | None) -> Reply | None:
    if copy is None:
        return None
    return Reply(200, copy.content_type, copy.body, int(copy.age_seconds(monotonic())))


def _reply(fetched: Fetched) -> Reply:
    return Reply(fetched.status or 0, _content_type(fetched), fetched.body)


def _content_type(fetched: Fetched) -> str:
    """The type as VWO sent it, in characters that a header can carry."""
    said = fetched.content_type.strip()[:_MOST_TYPE_CHARACTERS]
    return said if said.isascii() and said.isprintable() and said else _JSON
