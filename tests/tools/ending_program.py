"""A program that enqueues while its interpreter ends: `ending_program.py URL SPOOL WHEN`.

It does so from atexit, from the `__del__` of a global, of an attribute of `builtins`, of a module,
and of a cycle. WHEN is "first" for a queue that has not been used before, "later" for one that has,
or "last" for a queue that is first used when no thread can be started any more, after atexit.

Prints the number, place and reason of each event, one a line.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.producers import connect


class Ending:
    """Enqueues one event as it is deleted; holds all that this needs."""

    done: ClassVar[set[int]] = set()

    def __init__(self, number: int, queue: Any) -> None:
        self.number, self.queue, self.write = number, queue, os.write

    def enqueue(self) -> None:
        """Enqueue the event, once."""
        if self.number in self.done:
            return
        self.done.add(self.number)
        try:
            receipt = self.queue.enqueue({"n": self.number})
            line = f"{self.number} {receipt.where} {receipt.reason}\n"
        except BaseException as exc:
            line = f"{self.number} raised {type(exc).__name__}\n"
        self.write(1, line.encode())

    __del__ = enqueue


queue = connect(sys.argv[1], spool_dir=sys.argv[2], enqueue_timeout_seconds=1.0)
if sys.argv[3] == "later":
    Ending(0, queue).enqueue()
if sys.argv[3] != "last":
    atexit.register(Ending(1, queue).enqueue)
last = Ending(2, queue)
builtins.last = Ending(3, queue)  # type: ignore[attr-defined]
module: Any = types.ModuleType("last")
module.last, module.itself = Ending(4, queue), module
sys.modules["last"] = module
cycle: Any = Ending(5, queue)
cycle.itself = cycle
