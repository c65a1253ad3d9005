"""What an event costs Redis where many connections are busy at once, against LPUSH on the same ones.

A server that finds several connections ready reads them all each time it wakes. One thread plays all
producers: it sends a command over each connection, and only then reads the answers. The commands are
those of `enqueue`, each connection with a mark of its own. When a batch is full, all pushes under way
find no room, and are sent a second time: the more, the smaller the batches.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from costs import Meter, medians
from redis.connection import Connection
from shared import KEY, event, show

import vwo_celery
from vwo_celery.events import encode
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.answers import DUPLICATE, STORED
from vwo_celery.queue.words.marks import Mark, Marks
from vwo_celery.testing import RedisServer

CONNECTIONS, EVENTS, ROUNDS = (1, 10, 50, 200), 20_000, 5
PER_REQUEST = (500, 5_000)
_ANSWER_BYTES = 100


class Crowd:
    """So many connections to one server, each of which stores an event at a time."""

    def __init__(self, stack: ExitStack, server: RedisServer, count: int, size: int) -> None:
        queue = vwo_celery.connect(
            vwo_celery.Destination(account_id=888888 + size, sdk_key=KEY, generation="fme"),
            batch_event_data={"events_per_request": size, "request_time_interval": 600},
            redis_url=server.url,
            max_queue_events=10**8,
            max_queue_bytes=10**11,
            enqueue_timeout_seconds=10,
        )
        producer = producer_of(queue)
        assert producer.register()
        self.shard = producer.shards[0]
        self.shard.load_push()
        self.text, self.pack = encode(event()), Connection().pack_command
        self.lines = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(count)
        ]
        for line in self.lines:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.marks = [Marks() for _ in self.lines]
        for marks in self.marks:
            marks.renew(self.shard.client.hget(self.shard.keys.meta, "life").decode())
            self._push(marks, marks.take(1))

    def enqueue(self) -> int:
        for _ in range(EVENTS // len(self.lines)):
            taken = [marks.take(1) for marks in self.marks]
            answers = self._at_once([self._append(mark) for mark in taken])
            for marks, mark, answer in zip(self.marks, taken, answers, strict=True):
                if answer == b":1\r\n":
                    marks.give_back(mark)
                else:
                    self._push(marks, mark)
        return EVENTS

    def lpush(self) -> int:
        command = self._packed("LPUSH", "bare", self.text)
        for _ in range(EVENTS // len(self.lines)):
            self._at_once([command] * len(self.lines))
        return EVENTS

    def _at_once(self, commands: list[bytes]) -> list[bytes]:
        for line, command in zip(self.lines, commands, strict=True):
            line.sendall(command)
        return [line.recv(_ANSWER_BYTES) for line in self.lines]

    def _append(self, mark: Mark) -> bytes:
        keys = self.shard.keys
        words = (script("append").sha, 3, keys.open, keys.meta, keys.mark(mark.id))
        return self._packed("EVALSHA", *words, mark.number, mark.stored, self.text)

    def _packed(self, *words: Any) -> bytes:
        return b"".join(self.pack(*words))

    def _push(self, marks: Marks, mark: Mark) -> None:
        """Store an event that opens or fills a batch, as a producer does."""
        pushed = self.shard.push(self.shard.push_command(mark, [self.text], 2))
        assert pushed.code in (STORED, DUPLICATE), pushed
        marks.give_back_pushed(mark, renewed=True)


def main() -> None:
    """Print the table."""
    rows = []
    for count in CONNECTIONS:
        *ours, bare = _measure(count)
        cells = (f"{each:.1f}  ×{each / bare:.2f}" for each in ours)
        rows.append((f"{count}", *cells, f"{bare:.1f}", f"{1e6 / ours[0]:,.0f}"))
    show(
        "Connections that are busy at once: µs of Redis an event, and times LPUSH",
        rows, "connections", *(f"enqueue, {size} a batch" for size in PER_REQUEST), "LPUSH",
        f"events/s that fill a core, {PER_REQUEST[0]} a batch",
    )  # fmt: skip


def _measure(count: int) -> list[float]:
    """µs of Redis an event, for each size of batches and for LPUSH."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        crowds = [Crowd(stack, server, count, size) for size in PER_REQUEST]
        meter = Meter(server.url)
        ways: list[Callable[[], int]] = [crowd.enqueue for crowd in crowds]
        ways.append(crowds[0].lpush)
        rounds = [[meter.measure(way) for way in ways] for _ in range(ROUNDS + 1)][1:]
        return [medians(costs).redis[0] for costs in zip(*rounds, strict=True)]


if __name__ == "__main__":
    main()
