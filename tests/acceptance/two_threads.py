"""One application process with two threads that share its queue.

python two_threads.py REDIS_URL VWO_URL NAME EVENTS PER_REQUEST
"""

from __future__ import annotations

import sys
import threading

import vwo_celery
from tools.installation import ACCOUNT, KEY, event


def main(redis_url: str, vwo_url: str, name: str, events: int, per_request: int) -> None:
    """Enqueue half of the events in each of two threads."""
    queue = vwo_celery.connect(
        vwo_celery.Destination(
            account_id=ACCOUNT, sdk_key=KEY, generation="legacy", base_url=vwo_url
        ),
        batch_event_data={"events_per_request": per_request, "request_time_interval": 60},
        redis_url=redis_url,
    )
    stored = [0, 0]

    def enqueue(thread: int) -> None:
        for number in range(events // 2):
            receipt = queue.enqueue(event(f"{name}-{thread}-{number}"))
            stored[thread] += receipt.where == "redis"

    threads = [threading.Thread(target=enqueue, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(0 if sum(stored) == events else f"{stored} of {events} are in Redis")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
