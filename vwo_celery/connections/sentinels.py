"""Sentinel's master: found, followed when it changes, and left while another is being elected.

Beneath the clients; nothing to lose. Sentinel promotes a replica about a second before it names the
new master, and demotes a master that still runs only ten seconds later. Whoever stays with the old
one meanwhile writes what will be thrown away. So every Sentinel is asked a few times a second,
before a command and by whoever sends it; no thread is needed. While one of them says that it
elects a master, there is none: events go to the spool, and workers wait. Once a new one is named,
all connections to the old one are given up: idle ones at once, others with the answer they wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis
from redis.exceptions import RedisError, ResponseError
from redis.sentinel import SentinelConnectionPool

from vwo_celery.clocks import monotonic
from vwo_celery.connections.causes import bare, explained
from vwo_celery.connections.errors import without_command
from vwo_celery.connections.pools import SharedPool, let_reenter
from vwo_celery.connections.troubles import MasterUnknown
from vwo_celery.text.amounts import span

Address = tuple[str, int]

#: Time between two looks at the Sentinels while commands are sent: half of what Sentinel takes from
#: its first word of a failover to the promotion, so that its master is left before that.
LOOK_SECONDS = 0.1
#: Time for which a Sentinel that did not answer is not asked again, if another one answers.
_REST_SECONDS = 5.0
#: Longest time for which a master that answers is left because another is being elected. Sentinel
#: needs about a second; a failover that does not end leaves the old master in charge.
_LONGEST_ELECTION_SECONDS = 5.0
#: Mark of a master that is being replaced.
_FAILOVER = "failover_in_progress"


class Word(NamedTuple):
    """The word of one Sentinel on the master.

    Attributes:
        address: Host and port of the master; of the new one as soon as it is promoted.
        epoch: The configuration's number, which each failover raises.
        down_seconds: Time for which that master has not answered the Sentinel; None if it does.
        electing: Whether a failover is under way that has promoted no replica yet.
        since_seconds: Time for which the Sentinel has known it as the master, or has run.
    """

    address: Address
    epoch: int = 0
    down_seconds: float | None = None
    electing: bool = False
    since_seconds: float = 0.0


def read_word(state: Sequence[Any], named: Sequence[Any] | None = None) -> Word:
    """Read a Sentinel's answers.

    Args:
        state: Names and values of all that it knows of the master.
        named: Host and port that it names to clients; None if it was not asked.
    """
    texts = [_text(each) for each in state]
    facts = dict(zip(texts[::2], texts[1::2], strict=True))
    old = (facts["ip"], int(facts["port"]))
    address = old if named is None else (_text(named[0]), int(named[1]))
    flags = facts["flags"].split(",") if address == old else []
    down_ms = int(facts.get("s-down-time", facts.get("o-down-time", 0)))
    return Word(
        address,
        int(facts["config-epoch"]),
        down_ms / 1000 if {"s_down", "o_down"} & set(flags) else None,
        _FAILOVER in flags,
        int(facts.get("role-reported-time", 0)) / 1000 if address == old else 0.0,
    )


def _text(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def best(words: Sequence[Word]) -> Word:
    """The word to believe: of the newest configuration, if possible with a master that answers.

    It is marked as `electing` if any Sentinel is about to replace that master.
    """
    found = max(words, key=lambda word: (word.down_seconds is None, word.epoch))
    electing = any(word.electing and word.epoch >= found.epoch for word in words)
    return found._replace(electing=electing)


class Sentinels:
    """The Sentinels of one service; safe under threads and greenlets, in one process.

    Args:
        addresses: Host and port of each.
        service: The name under which they know the master.
        clock: Seconds, from any start.
        options: Options of redis-py for connections to Sentinels; its timeouts are for each.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        service: str,
        *,
        clock: Callable[[], float] = monotonic,
        **options: Any,
    ) -> None:
        self.sentinels = [redis.Redis(*address, **options) for address in addresses]
        for each in self.sentinels:
            let_reenter(each.connection_pool)
        # In several words, since redis-py's releases read the answers to its own differently.
        self._state_of = ("SENTINEL", "MASTER", service)
        self._named = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
        self._service = service
        self._clock = clock
        self._asking = threading.RLock()  # a signal handler may connect while its thread asks
        self._rests_until = [0.0] * len(self.sentinels)
        self._asked_at = self._electing_since = float("-inf")
        self._word: Word | None = None
        self._failure: BaseException | None = None

    @property
    def is_due(self) -> bool:
        """Whether the last look is so long ago that the next command needs another."""
        return self._clock() >= self._asked_at + LOOK_SECONDS

    def look(self) -> Address | None:
        """Return the master, asked for now and then; None if no Sentinel has answered yet.

        Whoever finds another caller asking does not wait for him.

        Raises:
            MasterUnknown: The Sentinels are electing one, or the master has not answered them.
        """
        if self.is_due and self._asking.acquire(blocking=False):
            try:
                if self.is_due:
                    self._ask(patient=False)
            finally:
                self._asking.release()
        return self._judge() if self._word is not None else None

    def discover_master(self, _: str = "") -> Address:
        """Return the master, for a new connection; redis-py's pools call this.

        Raises:
            MasterUnknown: No Sentinel names one that answers.
        """
        with self._asking:
            if self._word is None or self.is_due:
                self._ask(patient=True)
        return self._judge()

    def words(self) -> list[Word | None]:
        """Ask each Sentinel, for an operator; None for one that gives no answer."""
        found: list[Word | None] = []
        for each in self.sentinels:
            try:
                found.append(self._word_of(each))
            except (RedisError, OSError):
                found.append(None)
        return found

    def _ask(self, *, patient: bool) -> None:
        """Ask the Sentinels; those that rest only if *patient* and no other answers."""
        now = self._clock()
        resting = [until > now for until in self._rests_until]
        words: list[Word] = []
        self._failure = None
        for i in sorted(range(len(self.sentinels)), key=resting.__getitem__):
            if not resting[i] or (patient and not words):
                try:
                    words.append(self._word_of(self.sentinels[i]))
                except (RedisError, OSError) as exc:
                    self._rests_until[i] = self._clock() + _REST_SECONDS
                    self._note(exc, self.sentinels[i])
                else:
                    self._rests_until[i] = 0.0
        self._asked_at = self._clock()
        self._learn(best(words) if words else None, patient=patient)

    def _note(self, exc: Exception, sentinel: Any) -> None:
        """Keep why a Sentinel names no master; what one answered says more than another's silence."""
        without_command(exc)
        if isinstance(exc, ResponseError) or not isinstance(self._failure, ResponseError):
            self._failure = bare(explained(exc, sentinel.connection_pool.connection_kwargs))

    def _learn(self, word: Word | None, *, patient: bool) -> None:
        known = self._word
        if word is None:  # nothing speaks against the last address but the master itself
            self._word = Word(known.address) if known is not None and not patient else None
            return
        if word.electing and not (known is not None and known.electing):
            self._electing_since = self._asked_at
        self._word = word

    def _word_of(self, sentinel: Any) -> Word:
        """Ask one Sentinel; only during a failover does it name another master than its own."""
        word = read_word(state := sentinel.execute_command(*self._state_of))
        if not word.electing:
            return word
        return read_word(state, sentinel.execute_command(*self._named))

    def _judge(self) -> Address:
        word = self._word
        if word is None:
            why = self._failure
            raise MasterUnknown(
                f"no Sentinel names a master of {self._service}: {len(self.sentinels)} asked, "
                f"{type(why).__name__}: {why}"
            ) from why
        host, port = word.address
        if word.down_seconds is not None:
            raise MasterUnknown(
                f"Sentinel knows no master of {self._service} now: {host}:{port} has not answered "
                f"for {span(word.down_seconds)}"
                + (", and a replica is being promoted" if word.electing else "")
            )
        electing_seconds = self._clock() - self._electing_since
        if word.electing and electing_seconds < _LONGEST_ELECTION_SECONDS:
            raise MasterUnknown(
                f"Sentinel knows no master of {self._service} now: it has been replacing "
                f"{host}:{port} for {span(electing_seconds)}"
            )
        return word.address


class SentinelPool(SharedPool, SentinelConnectionPool):
    """A pool whose connections lead to the present master."""

    sentinel_manager: Sentinels

    def get_connection(self, *words: Any, **options: Any) -> Any:
        """Take a connection to the master.

        Raises:
            MasterUnknown: There is none at the moment.
        """
        self._follow()
        return super().get_connection(*words, **options)

    def take(self) -> Any:
        """The same without a look at the connection; see `SharedPool.take`."""
        self._follow()
        return super().take()

    def keeps(self, connection: Any) -> bool:
        """Whether a connection leads to the present master, and may be given back as it is."""
        return bool(self.owns_connection(connection)) and super().keeps(connection)

    def _follow(self) -> None:
        """Give up the connections to another server than the master."""
        address = self.sentinel_manager.look()
        if address is not None and address != self.proxy.master_address:
            self.proxy.master_address = (
                address  # from now on, others are closed when they come back
            )
            self.disconnect(inuse_connections=False)
