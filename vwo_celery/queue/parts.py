"""The parts of a Redis Cluster: one that is away takes with it only what lies on it.

Beside every stage. Without replicas, or until one takes over, a node that dies takes its slots away, and
the keys that all queues share may lie on it. So what may be missed (a sign of life, a wake-up, one
shard of a sweep) is attempted once and then left alone for a while; what must be known (which shards
there are) is found on the parts that answer. A single server is one part. Nothing is lost here if the
process dies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any, NamedTuple, TypeVar

from redis.exceptions import ClusterDownError

from vwo_celery.clocks import monotonic
from vwo_celery.connections import unavailable
from vwo_celery.connections.cluster import ClusterClient
from vwo_celery.connections.errors import REDIS_ERRORS
from vwo_celery.connections.troubles import is_denied, note_user, remedy_of
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import SeldomLog, log
from vwo_celery.queue.words.keys import as_text, shards_pattern
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import span

Answer = TypeVar("Answer")
_NONE: Set[str] = frozenset()
#: Pause, in seconds, after a failure: until then nothing that may be missed is asked of that part.
REST_SECONDS = 5.0
#: Keys that one SCAN looks at.
_SCANNED_AT_ONCE = 1000


class Part(NamedTuple):
    """A part of a Cluster that is away.

    Attributes:
        name: Address of its master, "HOST:PORT".
        silent_since_ms: Unix ms, by the clock of the node that tells it, of its last sign of life; 0
            if unknown.
    """

    name: str
    silent_since_ms: int


class Hints:
    """Attempts at what may be missed; in a Cluster, a part that failed is left alone for a while.

    Args:
        rest_seconds: That while; 0 where there is one server.
        clock: Seconds that only rise.
    """

    def __init__(self, rest_seconds: float = 0.0, clock: Callable[[], float] = monotonic) -> None:
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._resting_until: dict[str, float] = {}
        self._seldom = SeldomLog()

    def attempt(
        self, place: str, what: str, act: Callable[[], Answer], otherwise: Answer
    ) -> Answer:
        """Return what *act* returns, or *otherwise* if Redis does not do it.

        Args:
            place: The key, or the part of a Cluster, that is left alone for a while after a failure.
            what: The attempt, for the log.
            act: Raises QueueUnavailable if it fails.
            otherwise: The answer after a failure, and until the next attempt.
        """
        if self.is_resting(place):
            return otherwise
        try:
            return act()
        except QueueUnavailable as exc:
            self.rest(place)
            self.warn(place, what, exc)
            return otherwise

    def warn(self, place: str, what: str, exc: Exception) -> None:
        """Log, at most once a minute for each place, what is missed."""
        self._seldom.warn(place, "going on without %s: %s; %s", what, exc, remedy_of(exc))

    def is_resting(self, place: str) -> bool:
        """Whether *place* failed a moment ago."""
        return self._clock() < self._resting_until.get(place, 0.0)

    def rest(self, place: str, *, for_good: bool = False) -> None:
        """Leave *place* alone for a while, or for as long as these hints are used."""
        seconds = math.inf if for_good else self._rest_seconds
        self._resting_until[place] = self._clock() + seconds


class Memory:
    """What a process has heard of the keys that all queues share, for when they are away.

    Attributes:
        shards: Names of the shards that were watched when that was last known.
        unannounced: Shards that are to be watched as soon as that can be written.
        registrations: Registrations that are to be listed as soon as that can be written.
        patrol_cursor: Place at which the patrol goes on.
        sampled_ms: Unix ms of the last minute of which this process knows samples.
        prove_look_at: Seconds, by `clocks.monotonic`, from which it looks whether a proof is due.
    """

    def __init__(self) -> None:
        self.shards: Set[str] = _NONE
        self.unannounced: set[str] = set()
        self.registrations: dict[str, Registration] = {}
        self.patrol_cursor = 0
        self.sampled_ms = 0
        self.prove_look_at = 0.0
        self.found: Set[str] = _NONE
        self.look_again_at = 0.0
        self._away = False

    @property
    def is_behind(self) -> bool:
        """Whether something could not be announced yet."""
        return bool(self.unannounced or self.registrations)

    def note_watched(self, names: set[str]) -> None:
        """Note the watched shards; those that were known before an absence may have been lost in it."""
        if self._away:
            self.unannounced |= (self.shards | self.found) - names
            self._away, self.found = False, frozenset()
        self.shards = names

    def note_away(self) -> None:
        """Note that nobody can tell which shards are watched."""
        self._away = True


def part_of(client: Any, key: str) -> str:
    """Name of the part that holds *key*, as last reported; "" for a single server, or if unknown."""
    return client.part_of(key) if isinstance(client, ClusterClient) else ""


def first_answer(client: Any, ask: Callable[[Any], Answer]) -> Answer:
    """What the server answers, or the first master of a Cluster that does.

    Raises:
        redis.exceptions.RedisError: None answered.
    """
    if not isinstance(client, ClusterClient):
        return ask(client)
    failure: Exception | None = None
    for _, node in client.masters():
        try:
            return ask(node)
        except REDIS_ERRORS as exc:
            note_user(exc, node.connection_pool.connection_kwargs)
            failure = exc
    client.forget()  # all nodes may have moved
    if failure is None:
        return ask(client)
    raise failure


def by_part(
    client: Any, items: Sequence[Answer], key: Callable[[Answer], str]
) -> list[list[Answer]]:
    """The items in groups whose keys lie on the same part, in the order of their first ones."""
    groups: dict[str, list[Answer]] = {}
    for item in items:
        groups.setdefault(part_of(client, key(item)), []).append(item)
    return list(groups.values())


def find_shards(client: Any, namespace: str) -> set[str]:
    """Names of all shards on the parts that answer, found by a look at every key.

    Raises:
        QueueUnavailable: No part answered.
    """
    begin, _, end = shards_pattern(namespace).partition("*")
    with unavailable("look for shards"):
        nodes = client.masters()
    found, failure = set(), None
    for name, node in nodes:
        try:
            with unavailable(f"look for shards at {name}"):
                found |= {key[len(begin) : -len(end)] for key in _scan(node, f"{begin}*{end}")}
        except QueueUnavailable as exc:
            failure = exc
            log.debug("%s", exc)
    if failure is not None and not found:
        raise failure
    return found


def _scan(node: Any, pattern: str) -> Iterator[str]:
    return map(as_text, node.scan_iter(match=pattern, count=_SCANNED_AT_ONCE))


def parts_away(client: Any) -> list[Part]:
    """The masters that hold slots and do not answer, as the others report them or as we notice.

    Of a user who may not ask for them, none: the doctor says which right is missing.

    Raises:
        QueueUnavailable: No part answers.
    """
    if not isinstance(client, ClusterClient):
        return []
    try:
        with unavailable("look at the cluster's nodes"):
            nodes = first_answer(client, lambda node: node.cluster("NODES"))
    except QueueUnavailable as exc:
        if not is_denied(exc):
            raise
        log.debug("%s", exc)
        return []
    return [
        Part(name.partition("@")[0], int(state.get("last_pong_rcvd") or 0))
        for name, state in nodes.items()
        if "master" in state["flags"] and state["slots"] and not _answers(client, name, state)
    ]


def describe_away(part: Part, now: float) -> str:
    """A line for people: which part is away, since when, and what follows.

    Args:
        part: The part.
        now: This host's time, Unix seconds.
    """
    silent_seconds = now - part.silent_since_ms / 1000
    since = f" for {span(silent_seconds)}" if part.silent_since_ms and silent_seconds >= 0 else ""
    return (
        f"the part of Redis at {part.name} has not answered{since}: the queues on it are not shown, "
        "and nothing of them is stored or delivered; start it, or see why it cannot be reached"
    )


def left_out() -> QueueUnavailable:
    """The error of a queue of which some shard, or all, is on a part that is left alone."""
    error = QueueUnavailable("the part of Redis with some of it, or all, is away")
    error.__cause__ = ClusterDownError(str(error))
    return error


def _answers(client: ClusterClient, name: str, state: dict[str, Any]) -> bool:
    if "fail" in state["flags"].split(","):
        return False
    try:
        return bool(client.node(name.partition("@")[0]).ping())
    except REDIS_ERRORS:
        return False
