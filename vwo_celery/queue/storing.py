"""A shard's way in: the scripts that store events, each sent once as packed bytes.

Stage 1 of an event's way, the lower half of `shard`. A web request waits for this, so a command goes the
direct way (`connections.exchanges`), over a connection that is not looked at before; what must be
repeated goes redis-py's way, over one that is. If the process dies inside a method, the script has run
as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vwo_celery.connections.exchanges import NOT_RUN_HERE
from vwo_celery.connections.resp import bulk, pack
from vwo_celery.queue.scripts import load, script
from vwo_celery.queue.words.answers import STORED, STORED_LAST, Pushed
from vwo_celery.queue.words.keys import shard_keys
from vwo_celery.queue.words.marks import Mark, push_token

#: What keys of a shard enqueue.lua takes before the mark's.
_ENQUEUE_KEYS = ("open", "meta", "ready", "info", "slots", "leases")
#: Number of words of the command that runs append.lua, and those that differ at each call, packed.
_APPEND_WORDS = 9
_APPENDED = b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"


class Storing:
    """The half of a shard that stores events.

    Args:
        client: A Redis client made by `connections`.
        namespace: First part of every key.
        queue: The queue's name.
        shard: 0 and up.

    Attributes:
        is_full: Whether `append` will hardly store the next event, as the answer to the last one tells:
            it opens or fills a batch, unless another process was quicker.
    """

    __slots__ = ("client", "is_full", "keys", "namespace", "number", "queue")

    def __init__(self, client: Any, namespace: str, queue: str, shard: int) -> None:
        self.client, self.namespace = client, namespace
        self.queue, self.number = queue, shard
        self.keys = shard_keys(namespace, queue, shard)
        self.is_full = False

    def append(self, mark: Mark, event: bytes) -> bool:
        """Store one event the fast way, if it neither opens nor fills a batch.

        Args:
            mark: The caller's mark, its sequence already raised for this push.
            event: The encoded event.

        Returns:
            Whether it is stored. If not, or if this raises, a `push` under the same mark stores it
            exactly once.

        Raises:
            redis.exceptions.RedisError: As redis-py raises it; the producer decides about a repeat.
        """
        if not mark.appends:
            return False
        start = mark.append_start
        if not start:
            start = mark.append_start = self._append_start(mark)
        number, stored = mark.number.encode(), mark.stored.encode()
        packed = _APPENDED % (start, len(number), number, len(stored), stored, len(event), event)
        (answer,) = self.client.exchange(self.keys.prefix, packed)
        if answer in (STORED, STORED_LAST):
            self.is_full = answer == STORED_LAST
            return True
        if isinstance(answer, Exception) and not isinstance(answer, NOT_RUN_HERE):
            raise answer
        return False

    def _append_start(self, mark: Mark) -> bytes:
        """The part of the command that runs append.lua which is the same under one mark, packed."""
        k = self.keys
        words = ("EVALSHA", script("append").sha, "3", k.open, k.meta, k.mark(mark.id))
        return b"*%d\r\n" % _APPEND_WORDS + b"".join(map(bulk, words))

    def push_command(
        self, mark: Mark, events: Sequence[bytes], names: int, *,
        count_refusal: bool = True, more_follow: bool = False, notices: Sequence[str] = (),
        contexts: str = "",
    ) -> tuple[Any, ...]:  # fmt: skip
        """The command that stores *events* under the mark's present sequence number.

        Pure, so that the sync and the asyncio producer share it. The command may be sent again
        after `Mark.doubt`; the events are stored once.

        Args:
            mark: The caller's mark, its sequence already raised for this push.
            events: JSON of each event; at most as many as the caller wants in one command.
            names: Most batches that the push may seal; see `pushes.names_needed`.
            count_refusal: Whether the events count as refused if there is no room for them.
            more_follow: Whether more events of the same call follow.
            notices: See `notices.notice_keys`.
            contexts: Trace contexts of the events, see `tracing.carried.as_argument`.
        """
        k, prefix = self.keys, self.keys.prefix
        stem = f"{prefix}batch:{push_token(mark)}"
        batches = (stem,) if names == 1 else [stem, *(f"{stem}.{i:04d}" for i in range(1, names))]
        return (
            "EVALSHA", script("enqueue").sha, len(_ENQUEUE_KEYS) + 4 + names + len(notices),
            *[prefix + name for name in _ENQUEUE_KEYS], k.mark(mark.id), k.births,
            *k.contexts, *batches,
            *notices, mark.number, mark.life, int(count_refusal), int(more_follow),
            k.name if notices else "", contexts, *events,
        )  # fmt: skip

    def with_text(self, command: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same push with the script's text in the place of its digest."""
        return ("EVAL", script("enqueue").text, *command[2:])

    def push(self, command: tuple[Any, ...], *, again: bool = False) -> Pushed:
        """Send a command made by `push_command`.

        Args:
            command: The command.
            again: Whether it was sent before and failed: then over a connection that is looked at.

        Raises:
            redis.exceptions.RedisError: As redis-py raises it; the producer decides about a repeat.
        """
        if not again:
            (answer,) = self.client.exchange(self.keys.prefix, pack(command))
            if not isinstance(answer, Exception):
                return self._note(Pushed(*answer))
            if not isinstance(answer, NOT_RUN_HERE):
                raise answer
        return self._note(Pushed(*self.client.execute_command(*command)))

    def _note(self, pushed: Pushed) -> Pushed:
        self.is_full = pushed.sealed > 0
        return pushed

    def load_push(self) -> None:
        """Load the scripts that store events into the server."""
        load(self.client, script("enqueue").text, script("append").text, script("gate").text)

    def mark_is_kept(self, mark_id: str) -> bool:
        """Whether Redis still knows a producer's mark.

        Raises:
            redis.exceptions.RedisError: As redis-py raises it; nothing has changed.
        """
        return bool(self.client.execute_command("EXISTS", self.keys.mark(mark_id)))
