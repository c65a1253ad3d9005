"""One push of events to Redis: how large it may be, what its answer means, when it is sent again.

Place: an edge beside the store; what the sync and the asyncio producer share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from vwo_celery.connections.errors import REDIS_ERRORS
from vwo_celery.queue.batches import Limits
from vwo_celery.queue.capacity import MAY_FIT, NEVER_FITS, make_room
from vwo_celery.queue.marks import Mark, push_token
from vwo_celery.queue.replication import Replicas
from vwo_celery.queue.shard import REFUSALS, Pushed, Shard

#: Most events and bytes of one command, so that no command holds Redis for more than a moment.
PUSH_EVENTS = 1000
PUSH_BYTES = 1_000_000
#: Rounds of making room for one push: some, and one more for each so many events of it.
_ROOM_ROUNDS, _ROOM_EVENTS = 3, 100


class Push(NamedTuple):
    """One push: where to, under which mark, of what, and how many batches it may seal.

    `replicas` says which replicas must have it before it is answered; None for none.
    """

    shard: Shard
    mark: Mark
    encoded: Sequence[bytes]
    names: int
    replicas: Replicas | None = None

    @property
    def token(self) -> str:
        """Stem of the wake-up tokens that the push may be answered with."""
        return push_token(self.mark)

    @property
    def command(self) -> tuple[Any, ...]:
        """The command that stores the events, once, however often it is sent."""
        return self.shard.push_command(self.mark, self.encoded, self.names)

    def send(self) -> Pushed:
        """Send it.

        Raises:
            redis.exceptions.RedisError: As it comes; see `send_again`.
        """
        if self.replicas is not None:
            return self.replicas.push(self.shard, self.mark, self.command)
        return self.shard.push(self.command)

    async def send_by(self, client: Any) -> Pushed:
        """Send it by an asyncio client; it must not have replicas to wait for.

        Raises:
            redis.exceptions.RedisError: As it comes; see `Repeats`.
        """
        return Pushed(*await client.execute_command(*self.command))


class Repeats:
    """What may still be tried for one push: once the scripts, once the push whose answer was lost.

    In either order, since a Redis that comes back has lost its scripts. The mark keeps a push that
    did run from storing twice.
    """

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self._left = {"load", "repeat"}

    def allow(self, exc: Exception) -> bool:
        """Whether sending it again after *exc* can help, and is not used up."""
        if isinstance(exc, NoScriptError):
            return self._use("load")
        self._mark.doubt()
        return isinstance(exc, (RedisConnectionError, RedisTimeoutError)) and self._use("repeat")

    def _use(self, what: str) -> bool:
        if what not in self._left:
            return False
        self._left.remove(what)
        return True


def send_again(push: Push, exc: Exception) -> Pushed:
    """Send a push again after *exc*, where that can help.

    Raises:
        redis.exceptions.RedisError: It cannot help, or it did not.
    """
    repeats = Repeats(push.mark)
    while repeats.allow(exc):
        try:
            if isinstance(exc, NoScriptError):
                push.shard.load_push()
            return push.send()
        except REDIS_ERRORS as again:
            exc = again
    raise exc


def send_with_room(push: Push, refused: Pushed) -> Pushed:
    """Drop the oldest events for a push that was refused, and send it again.

    Nothing of the push is stored until it fits as a whole. It is sent under the same mark, since the
    refusal stored nothing. What other producers store meanwhile may take the room; after some rounds
    that is that.

    Args:
        push: What was refused.
        refused: The answer.

    Returns:
        The last answer; a refusal where the push never fits, or did not yet.

    Raises:
        QueueUnavailable: Redis did not answer; nothing of the push is stored.
        redis.exceptions.RedisError: As it comes; whether the push is stored is not known.
    """
    pushed = refused
    for _ in range(_ROOM_ROUNDS + len(push.encoded) // _ROOM_EVENTS):
        room = make_room(push.shard, push.encoded)
        if room.fits == NEVER_FITS:
            break
        if room.fits == MAY_FIT:
            continue
        try:
            pushed = push.send()
        except REDIS_ERRORS as exc:
            pushed = send_again(push, exc)
        if pushed.code not in REFUSALS:
            break
    return pushed


def pages(encoded: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """*encoded* in runs of at most PUSH_EVENTS events and about PUSH_BYTES bytes."""
    if len(encoded) <= PUSH_EVENTS and sum(map(len, encoded)) <= PUSH_BYTES:
        if encoded:
            yield encoded
        return
    start, size = 0, 0
    for i, event in enumerate(encoded):
        if i > start and (i - start >= PUSH_EVENTS or size + len(event) > PUSH_BYTES):
            yield encoded[start:i]
            start, size = i, 0
        size += len(event)
    yield encoded[start:]


def names_needed(limits: Limits, encoded: Sequence[bytes]) -> int:
    """Batches that pushing *encoded* may seal at most, as enqueue.lua counts them."""
    count = len(encoded)
    if count == 1:
        return 2
    size = sum(map(len, encoded)) + count
    by_size = 2 * (size // limits.batch_bytes)
    return min(2 + count // limits.events_per_request + by_size, count + 1)
