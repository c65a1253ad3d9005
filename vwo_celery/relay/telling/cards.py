"""Telling the fleet: every few seconds this process' relay writes its card to Redis.

So `vwo-celery status` and `doctor` know how many relays there are, and what they did and refused. A
thread of its own does it, which looks at the counts that requests keep anyway: a request pays nothing.
It also looks for events that a relay has left on this host's disk, for which no request may come. It
is a daemon: it holds no process that ends. If the process dies, its last card stays for an hour.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.forks import unshared_number
from vwo_celery.logs import log_surprise
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.relays import (
    KEPT_SECONDS,
    TELL_SECONDS,
    RelayCard,
    RelayCounts,
    try_writing_relay_card,
    write_relay_card,
)
from vwo_celery.relay.telling.counts import counts
from vwo_celery.settings import BatchSettings, Settings
from vwo_celery.spool.fallback import Fallback, fallback_of

#: Longest wait for the last card when the relay ends.
_END_SECONDS: Final = 2.0
#: Time between two counts that are kept to tell what is recent.
_KEEP_EVERY_SECONDS: Final = 300.0
#: Most accounts whose batch options stand in a card.
_MOST_ACCOUNTS: Final = 20

Batches = Mapping[str, BatchSettings]


class Telling:
    """Writes the card of one relay.

    Args:
        settings: The relay's.
        batches: Returns when batches leave, by account, "" for all others.
        listens: Address of the server; "" where the relay is mounted.
    """

    def __init__(
        self, settings: Settings, batches: Callable[[], Batches], listens: str = ""
    ) -> None:
        self._has_begun = False
        self._settings = settings
        self._batches = batches
        self._listens = listens
        self._began = monotonic()
        self._before = _counted()  # of other relays in this process
        self._recent = Recent(self._began)
        self._lock = threading.Lock()  # of these
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vwo-celery-relay", daemon=True)
        self._process = f"{socket.gethostname()}:{os.getpid()}-{unshared_number():016x}"[:120]

    def begin(self) -> None:
        """Write a card now, and then every few seconds."""
        if not self._has_begun:
            self._has_begun = True
            self._thread.start()

    def end(self) -> None:
        """Write the last card, and no more; waits a moment for it."""
        self._ending.set()
        if self._has_begun:
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        has_ended = False
        while True:
            try:
                self._tell(has_ended=has_ended)
            except Exception as exc:
                log_surprise(exc, "what the relay did is told later")
            if has_ended:
                return
            has_ended = self._ending.wait(TELL_SECONDS)

    def _tell(self, *, has_ended: bool) -> None:
        host = self._host
        if host.breaker.is_open:  # Redis is away, which others tell of
            return
        card = self._card(has_ended=has_ended)
        try_writing_relay_card(host.open_fleet(), self._process, card)
        if not has_ended:
            host.look()  # for what a relay has left that was killed: perhaps no request comes

    def write(self, fleet: Fleet) -> None:
        """Write a card now.

        Raises:
            QueueUnavailable: Redis does not take it.
        """
        write_relay_card(fleet, self._process, self._card(has_ended=False))

    @cached_property
    def _host(self) -> Fallback:
        """Held, so that its drainer lives as long as the relay. It is made by the process that serves."""
        return fallback_of(self._settings)

    def _card(self, *, has_ended: bool) -> RelayCard:
        now, done = monotonic(), _counted().minus(self._before)
        with self._lock:
            recent = self._recent.since(now, done)
        shown, digest = _told(self._batches())
        return RelayCard(
            version=str(getattr(sys.modules.get("vwo_celery"), "__version__", "")),
            listens=self._listens,
            up_seconds=now - self._began,
            has_ended=has_ended,
            has_spool=self._host.spool is not None,
            batches=shown,
            batches_digest=digest,
            counts=done,
            recent=recent,
        )


class Recent:
    """What was counted in the last hour: the newest counts less those of an hour ago.

    Args:
        now: Seconds of a clock that only rises, when the counts were 0.
    """

    def __init__(self, now: float) -> None:
        self._kept: deque[tuple[float, RelayCounts]] = deque([(now, RelayCounts())])

    def since(self, now: float, done: RelayCounts) -> RelayCounts:
        """What has been counted since an hour ago, or up to five minutes less."""
        while len(self._kept) > 1 and self._kept[0][0] < now - KEPT_SECONDS:
            self._kept.popleft()
        if now - self._kept[-1][0] >= _KEEP_EVERY_SECONDS:
            self._kept.append((now, done))
        return done.minus(self._kept[0][1])


def _counted() -> RelayCounts:
    return msgspec.convert(counts(), RelayCounts)


def _told(batches: Batches) -> tuple[dict[str, tuple[int, float]], str]:
    """When batches leave, as a card tells it, and a digest of all of it."""
    found = {
        account: (each.events_per_request, each.request_time_interval)
        for account, each in sorted(batches.items())
    }
    digest = hashlib.sha256(msgspec.json.encode(found)).hexdigest()[:12]
    return dict(list(found.items())[:_MOST_ACCOUNTS]), digest
