"""A program that is cloned while it runs: `cloning_program.py URL SPOOL HOW SOCKETS CLONES EVENTS`.

A clone has the same memory and the same process id, and no hook has told it of anything: so the
kernel forks it without Python's knowledge, and `os.getpid` always answers the same. As after the
start of a snapshot, its connections lead nowhere: SOCKETS is "closed" or "silent".

Each clone, and the original, enqueues EVENTS numbered events HOW: "singly", "together" or "aio".
Prints the place of each, one number and place a line.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

if own := os.getpid():  # before anything else takes the function
    os.getpid = lambda: own

import vwo_celery.aio
from tools.dead_sockets import kill_sockets
from tools.producers import DESTINATION, connect
from tools.waiting import wait_until

url, spool, how, sockets = sys.argv[1:5]
clones, events = int(sys.argv[5]), int(sys.argv[6])
options: dict[str, Any] = {"spool_dir": spool, "enqueue_timeout_seconds": 1.0}


def enqueue(first: int, count: int) -> None:
    """Enqueue numbered events, and print their places."""
    found = [{"n": n} for n in range(first, first + count)]
    if how == "singly":
        receipts = [queue.enqueue(event) for event in found]
    elif how == "together":
        receipts = queue.enqueue_many(found)
    else:
        receipts = asyncio.run(enqueue_all(found))
    lines = [f"{first + i} {receipt.where}\n" for i, receipt in enumerate(receipts)]
    os.write(1, "".join(lines).encode())


async def enqueue_all(found: list[Any]) -> list[Any]:
    """Enqueue events one after another in this loop."""
    return [await queue.enqueue(event) for event in found]


if how == "aio":
    batch = {"events_per_request": 100}
    queue: Any = vwo_celery.aio.connect(
        DESTINATION, batch_event_data=batch, redis_url=url, **options
    )
else:
    queue = connect(url, **options)
enqueue(0, 5)
print("ready", flush=True)
sys.stdin.readline()
children = []
for clone in range(1, clones + 1):
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        kill_sockets(closed=sockets == "closed")
        enqueue(1000 * clone, events)
        os._exit(0)
    children.append(child)
enqueue(10, events)
for child in children:
    wait_until(lambda child=child: os.waitpid(child, os.WNOHANG)[0], 60, what="a clone to end")
os._exit(0)
