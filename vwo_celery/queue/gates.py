"""The gate: many events into the open list by a plain command, let in by a script before it.

Stage 1 of an event's way, beneath `pushes`. Events that pass through Lua cost Redis twice as much. So
one transaction holds gate.lua, which lets the events in or not, an LPUSHX of them all, and the end of
the gate. Its five commands are one packet, and MULTI makes them one step: Redis runs all or none,
also after a kill, and in its replicas. What does not get in is pushed by enqueue.lua under the same
mark. If the process dies here, the transaction has run as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import NoScriptError, RedisError

from vwo_celery.clocks import monotonic
from vwo_celery.connections.resp import pack
from vwo_celery.connections.troubles import is_denied
from vwo_celery.queue.scripts import load, script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.marks import Mark

#: Events from which the five commands cost less than one call of enqueue.lua.
_FROM_EVENTS: Final = 10
#: Time for which a gate is not tried again where the user or a proxy denies a command of it.
_REST_SECONDS: Final = 60.0
_MULTI, _EXEC = pack(("MULTI",)), pack(("EXEC",))
#: Number of the transaction's commands.
_COMMANDS: Final = 5


class Gate:
    """The gate of one shard, as one producer uses it; safe under threads, greenlets and forks.

    What it remembers only saves attempts: whether transactions may be used, and how many events are
    known to have room. A thread that overwrites what another has just noted costs one attempt.

    Args:
        shard: The shard.
        from_events: Least number of events for which it is tried.
    """

    __slots__ = ("_closed_until", "_from_events", "_is_tried", "_room", "_shard")

    def __init__(self, shard: Shard, from_events: int = _FROM_EVENTS) -> None:
        self._shard = shard
        self._from_events = from_events
        self._room: int | None = None  # in events; None if it is not known
        self._is_tried = False  # whether MULTI and EXEC work here
        self._closed_until = 0.0

    def let_in(self, mark: Mark, events: Sequence[bytes]) -> bool:
        """Store *events* in one transaction, if they neither open nor fill a batch.

        Args:
            mark: The caller's mark, its sequence already raised for this push.
            events: The encoded events.

        Returns:
            Whether they are stored. If not, or if this raises, a push by enqueue.lua under the same
            mark stores them exactly once.

        Raises:
            redis.exceptions.RedisError: The connection failed; see `exchanges.exchange`.
        """
        if not self._may_fit(mark, events) or not self._may_transact():
            return False
        client, keys = self._shard.client, self._shard.keys
        return self._note(client.exchange(keys.meta, self._transaction(mark, events), _COMMANDS))

    def note_pushed(self, sealed: int) -> None:
        """Note a push by enqueue.lua: what it sealed has left, and the next push opens a batch."""
        self._room = 0 if sealed else None

    def _may_fit(self, mark: Mark, events: Sequence[bytes]) -> bool:
        return (
            mark.appends
            and not mark.in_doubt
            and len(events) >= self._from_events
            and (self._room is None or len(events) <= self._room)
            and (not self._closed_until or monotonic() >= self._closed_until)
        )

    def _may_transact(self) -> bool:
        """Whether MULTI and EXEC work: a proxy may refuse them, and run what stands between."""
        if not self._is_tried:
            begun, ended = self._shard.client.exchange(self._shard.keys.meta, _MULTI + _EXEC, 2)
            self._is_tried = not isinstance(begun, Exception) and ended == []
            if not self._is_tried:
                self._close()
        return self._is_tried

    def _transaction(self, mark: Mark, events: Sequence[bytes]) -> bytes:
        k = self._shard.keys
        gate, size = k.gate(mark.id), sum(map(len, events)) + len(events)
        keys = (k.open, k.meta, k.mark(mark.id), gate)
        arguments = (mark.number, mark.stored, len(events), size)
        script_call = pack(script("gate").command(keys, arguments))
        pushed = pack(("LPUSHX", gate, *events))
        return b"".join((_MULTI, script_call, pushed, pack(("RENAMENX", gate, k.open)), _EXEC))

    def _note(self, answers: Sequence[Any]) -> bool:
        """Whether the events are in; note what the answers tell of the next ones."""
        answer = answers[-1]
        if not isinstance(answer, list):  # nothing has run
            self._is_tried = False
            if any(isinstance(each, RedisError) and is_denied(each) for each in answers):
                self._close()
            return False
        let_in = answer[0]
        if isinstance(let_in, int) and let_in > 0:
            self._room = let_in - 1
            return True
        if isinstance(let_in, NoScriptError):
            self._is_tried = False  # another server, or one that was started anew
            with suppress(RedisError):  # enqueue.lua meets it as well
                load(self._shard.client, script("gate").text)
        elif let_in == -1:
            self._close()
        return False

    def _close(self) -> None:
        self._closed_until = monotonic() + _REST_SECONDS
