"""A program that stands still: `standing_still_program.py WHERE URL [COUNT]`.

It spools events while Redis is away, prints "spooled" after the last, and stops itself (SIGSTOP) at
the first call of WHERE after that: "filling", inside a write of its spool file; "taking", inside a
drainer's write; "sending", when a page is taken and its push is about to go out.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.producers import connect
from tools.waiting import wait_until
from vwo_celery.spool import drain, spool_file

where, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
PLACES: dict[str, tuple[Any, str]] = {
    "filling": (spool_file, "used_bytes"),
    "taking": (spool_file, "read_page"),
    "sending": (drain, "names_needed"),
}


def stopping(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose first call stops this process until it is told to go on."""
    calls = iter([True])

    def stop(*args: Any, **options: Any) -> Any:
        if next(calls, False):
            print("stops", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        return call(*args, **options)

    return stop


queue = connect(url, enqueue_timeout_seconds=0.2)
for n in range(count):
    assert queue.enqueue({"n": n}).where == "spooled"
module, name = PLACES[where]
setattr(module, name, stopping(getattr(module, name)))
print("spooled", flush=True)
if where == "filling":
    print(queue.enqueue({"n": count}).where, flush=True)
wait_until(lambda: not queue.spooled(), 60, what="the spool to be drained")
print("ended", flush=True)
