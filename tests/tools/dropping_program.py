"""A program without a spool that loses events: `dropping_program.py URL COUNT`.

Prints the number of those dropped so far: after one event in Redis; after a line of input and COUNT
events, while Redis is away; after another line, once an event is in Redis again and the fleet was
told. Ends with its input.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.producers import connect
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of

queue = connect(sys.argv[1], spool_dir="", enqueue_timeout_seconds=0.2)
wait_until(lambda: queue.enqueue({"n": 0}), what="the first event")
print(sum(queue.dropped.values()), flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[2])):
    queue.enqueue({"n": n})
print(sum(queue.dropped.values()), flush=True)
sys.stdin.readline()
wait_until(
    lambda: queue.enqueue({"n": -1}) and not producer_of(queue).reporter.has_news,
    60,
    what="an event in Redis again, and a report",
)
print(sum(queue.dropped.values()), flush=True)
sys.stdin.readline()
