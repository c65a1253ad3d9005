"""`python produce.py BASE_URL NAME COUNT`: an application of either release.

It enqueues COUNT events, half of them one by one and half of them many at a time.
"""

from __future__ import annotations

import sys
from typing import Any

import vwo_celery

SDK_KEY = "0123456789abcdef0123456789abcdef"
MANY = 25


def legacy(name: str) -> dict[str, Any]:
    """A legacy event with its own name."""
    return {"u": name, "sId": 1700000000, "c": 2, "e": 101, "eT": 1}


def main() -> None:
    """Enqueue the events and print their number."""
    base_url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    queue = vwo_celery.connect(
        vwo_celery.Destination(
            account_id=1, sdk_key=SDK_KEY, generation="legacy", base_url=base_url
        ),
        batch_event_data={"events_per_request": 50, "request_time_interval": 1},
        strict=True,
        enqueue_timeout_seconds=10,
    )
    print("release", vwo_celery.__version__, flush=True)
    events = [legacy(f"{name}-{number}") for number in range(count)]
    half = count // 2
    receipts = [queue.enqueue(event) for event in events[:half]]
    for start in range(half, count, MANY):
        receipts += queue.enqueue_many(events[start : start + MANY])
    assert all(receipt.where == "redis" for receipt in receipts)
    print("stored", len(receipts), flush=True)


if __name__ == "__main__":
    main()
