"""One push of events to Redis: its size, the meaning of its answer, when it is sent again.

Stage 1 of an event's way, shared by the sync and the asyncio producer. If the process dies here,
the push is stored or not as a whole; an event without a receipt may be lost.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from vwo_celery.connections.errors import is_without_master
from vwo_celery.connections.resp import pack
from vwo_celery.queue.capacity import FITS, NEVER_FITS, make_room
from vwo_celery.queue.gates import Gate
from vwo_celery.queue.notices import is_of_several_slots, notice_keys
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.answers import LET_IN, REFUSALS, Pushed
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.marks import Mark, push_token
from vwo_celery.queue.work.replication import Replicas
from vwo_celery.tracing.carried import as_argument, spans_of

#: Most events and bytes of one command, since a longer one would hold up Redis.
PUSH_EVENTS = 1000
PUSH_BYTES = 1_000_000
#: Most rounds of making room for one push: a few, and one more for each so many events of it.
_ROOM_ROUNDS, _ROOM_EVENTS = 3, 100


class Place(NamedTuple):
    """The place of a push in the call whose events it stores.

    `more_follow` says whether more pushes of the same call follow. Pushes of one `lot` go to the same
    shard, if it can be reached, so that what is open there leaves with the last of them; None for any.
    """

    more_follow: bool = False
    lot: int | None = None


#: The answer to a push that went through the gate.
_LET_IN = Pushed(LET_IN, 0, 0, 0)
#: The place of a push that is all of its call.
ALONE = Place()


class Push(NamedTuple):
    """One push: its shard, its mark, its events, and how many batches it may seal.

    `replicas` are those that must have the push before it is answered; None for none. A refusal of
    events that wait in a spool is not counted: they come again. `part` is the part of a Cluster that
    the push goes to, "" for a single server. `place` is its place among those of its call. `gate` is
    the way that is tried first; None for enqueue.lua alone.
    """

    shard: Shard
    mark: Mark
    encoded: Sequence[bytes]
    names: int
    replicas: Replicas | None = None
    spooled: bool = False
    part: str = ""
    place: Place = ALONE
    gate: Gate | None = None

    @property
    def token(self) -> str:
        """Stem of the wake-up tokens that the answer may hand out."""
        return push_token(self.mark)

    @property
    def command(self) -> tuple[Any, ...]:
        """The command that stores the events once, however often it is sent."""
        return self.shard.push_command(
            self.mark, self.encoded, self.names,
            count_refusal=not self.spooled, more_follow=self.place.more_follow,
            notices=notice_keys(self.shard), contexts=as_argument(self.encoded),
        )  # fmt: skip

    def send(self, *, again: bool = False) -> Pushed:
        """Send the push.

        Args:
            again: Whether it was sent before and failed.

        Raises:
            redis.exceptions.RedisError: As redis-py raises it; see `send_again`.
        """
        if self.replicas is not None:
            return self.replicas.push(self.shard, self.mark, self.command)
        if self.gate is None or again:
            return self.shard.push(self.command, again=again)
        # Only enqueue.lua keeps contexts.
        if not spans_of(self.encoded) and self.gate.let_in(self.mark, self.encoded):
            return _LET_IN
        pushed = self.shard.push(self.command)
        self.gate.note_pushed(pushed.sealed)
        return pushed

    async def send_by(self, client: Any, *, with_text: bool = False) -> Pushed:
        """Send the push by an asyncio client; it must not have replicas to wait for.

        Args:
            client: The client.
            with_text: Whether to send the script itself, for a server that does not know it.

        Raises:
            redis.exceptions.RedisError: As redis-py raises it; see `Repeats`.
        """
        command = self.shard.with_text(self.command) if with_text else self.command
        try:
            return Pushed(*await _ask(client, command))
        except (AttributeError, TypeError) as exc:
            if not _is_lost_connection(exc):
                raise
            raise RedisConnectionError("the connection was lost while the push was sent") from exc


async def _ask(client: Any, command: tuple[Any, ...]) -> Any:
    if not hasattr(client, "exchange"):  # of a Cluster, where redis-py finds the node
        return await client.execute_command(*command)
    answer = (await client.exchange(pack(command)))[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


def _is_lost_connection(exc: Exception) -> bool:
    """Whether asyncio raised *exc* because it wrote to a connection that was lost.

    From Python 3.12 on, until CPython issue 136234 was mended in 3.14, its `writelines` then uses
    attributes of the transport that are None by now.
    """
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_name == "writelines"


class Repeats:
    """The repeats left for one push: one after loading the scripts, one after a lost answer.

    They may come in either order, since a Redis that comes back has lost its scripts. The mark
    keeps a push that did run from storing twice. One more is for a Cluster that is reached as if it
    were one server, see `notices`; only of a push whose *shard* is given.
    """

    def __init__(self, mark: Mark, shard: Shard | None = None) -> None:
        self._mark = mark
        self._shard = shard
        self._left = {"load", "repeat", "slots"}

    def allow(self, exc: Exception) -> bool:
        """Whether a repeat after *exc* can help, and is not used up."""
        if isinstance(exc, NoScriptError):
            return self._use("load")
        if self._shard is not None and is_of_several_slots(exc, self._shard):
            return self._use("slots")
        if is_without_master(exc):  # nothing was sent, and no master appears within a request
            return False
        self._mark.doubt()
        return isinstance(exc, (RedisConnectionError, RedisTimeoutError)) and self._use("repeat")

    def _use(self, what: str) -> bool:
        if what not in self._left:
            return False
        self._left.remove(what)
        return True


def cut_off() -> Exception:
    """The failure of a push whose caller stopped waiting: it may be stored, or may still arrive."""
    return RedisConnectionError("the answer to the push was not waited for")


def send_again(push: Push, exc: Exception) -> Pushed:
    """Send a push again after *exc*, if that can help.

    Raises:
        redis.exceptions.RedisError: It cannot help, or did not.
    """
    repeats = Repeats(push.mark, push.shard)
    while repeats.allow(exc):
        try:
            if isinstance(exc, NoScriptError):
                push.shard.load_push()
            return push.send(again=True)
        except Exception as again:
            exc = again
    raise exc


def send_with_room(push: Push, refused: Pushed) -> Pushed:
    """Drop the oldest events for a push that was refused, and send it again.

    Nothing of the push is stored until it fits as a whole. It is sent under the same mark, since
    the refusal stored nothing. Other producers may take the room that was made; the push is given
    up after some rounds.

    Args:
        push: The refused push.
        refused: Its answer.

    Returns:
        The last answer; a refusal if the push does not fit.

    Raises:
        QueueUnavailable: Redis did not answer; nothing of the push is stored.
        redis.exceptions.RedisError: As it comes; whether the push is stored is not known.
    """
    pushed = refused
    for _ in range(_ROOM_ROUNDS + len(push.encoded) // _ROOM_EVENTS):
        room = make_room(push.shard, push.encoded)
        if room.fits == FITS:
            pushed = _send(push)
        if room.fits == NEVER_FITS or pushed.code not in REFUSALS:
            break
    return pushed


def _send(push: Push) -> Pushed:
    try:
        return push.send()
    except Exception as exc:
        return send_again(push, exc)


def pages(encoded: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """*encoded* in pages of at most PUSH_EVENTS events and about PUSH_BYTES bytes."""
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


def placed_pages(encoded: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], Place]]:
    """The pages of one call's events, see `pages`, each with its place in the call."""
    found = list(pages(encoded))
    if len(found) == 1:
        yield found[0], ALONE
        return
    lot = random.getrandbits(32)
    for number, page in enumerate(found, 1):
        yield page, Place(number < len(found), lot)


def names_needed(limits: Limits, encoded: Sequence[bytes]) -> int:
    """Most batches that a push of *encoded* may seal, as enqueue.lua counts them."""
    count = len(encoded)
    if count == 1:
        return 2
    size = sum(map(len, encoded)) + count
    by_size = 2 * (size // limits.batch_bytes)
    beside = 3 if limits.most_events > limits.events_per_request else 2
    return min(beside + count // limits.most_events + by_size, count + 1)
