"""A program that enqueues inside of enqueue: `reentering_program.py SCENE URL SPOOL EVERY`.

At one point of each call, a further one interrupts it in the same thread, as a signal handler or a
`__del__` does: at the first point of the first call, at the second of the second, and so on through
all points (or each EVERYth) that one call passes. A point is each bytecode instruction of
vwo_celery and each line of redis-py and of the standard library.

Prints a JSON object: the place of each event by its number, and the number of points.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.producers import connect

scene, url, spool, every = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
numbers = itertools.count()
places: dict[int, str] = {}


class Interruption:
    """Calls a function at one point of the calls that it is given."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._left = -1

    def run(self, call: Callable[[], None], point: int) -> bool:
        """Run *call*, and at its *point*th point the act; whether it has so many."""
        self._left = point
        sys.settrace(self._enter)
        try:
            call()
        finally:
            sys.settrace(None)
        return self._left < 0

    def _enter(self, frame: FrameType, *_: Any) -> Any:
        if frame.f_code.co_filename == __file__:
            return None
        frame.f_trace_opcodes = "/vwo_celery/" in frame.f_code.co_filename
        return self._pass

    def _pass(self, frame: FrameType, event: str, *_: Any) -> Any:
        if event == ("opcode" if frame.f_trace_opcodes else "line"):
            self._left -= 1
            if self._left == -1:
                sys.settrace(None)
                self._act()
        return self._pass


def connected(namespace: str = "vwo") -> Any:
    """A queue; in a namespace of its own, nothing of it has been used before."""
    return connect(
        url,
        namespace=namespace,
        batch={"events_per_request": 4 if scene == "sealing" else 1000},
        spool_dir=spool,
        enqueue_timeout_seconds=2.0,
    )


def enqueue() -> None:
    """Enqueue the next number, and note its place."""
    number = next(numbers)
    receipt = queue.enqueue({"n": number})
    places[number] = f"{receipt.where} {receipt.reason or ''}".strip()


queue = connected()
if scene != "first":
    enqueue()
interruption = Interruption(enqueue)
point = 0
while True:
    if scene == "first":
        queue = connected(f"vwo{point}")
    if not interruption.run(enqueue, point):
        break
    point += every
print(json.dumps({"places": places, "points": point // every}))
