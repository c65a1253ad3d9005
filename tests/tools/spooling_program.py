"""A program that a test of the spool runs: `spooling_program.py WHAT URL FIRST COUNT [SECONDS]`.

Prints where each event went (`Receipt.where`), one a line, at once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

if sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()

from tools.producers import connect
from tools.waiting import wait_until

what, url, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
seconds = float(sys.argv[5]) if len(sys.argv) > 5 else 0.0
queue = connect(url, enqueue_timeout_seconds=0.2)
for n in range(first, first + count):
    print(queue.enqueue({"n": n}).where, flush=True)
    due = time.monotonic() + seconds  # a steady load
    wait_until(lambda due=due: time.monotonic() >= due, every_seconds=0.001)
if what == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "fork":
    pid = os.fork()
    print(queue.enqueue({"n": first + count + (1 if pid else 0)}).where, flush=True)
    if pid:
        os.kill(os.getpid(), signal.SIGKILL)
# This process's own drainer empties the spool.
wait_until(lambda: not queue.spooled(), 60, what="the spool to be drained")
