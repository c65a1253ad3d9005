"""`python produce_newer.py BASE_URL COUNT`: an application whose queues the release before cannot send.

It enqueues COUNT events in each of three queues: of an SDK that names nothing, of one that is spelled
as Java's SDK does, and of single requests.
"""

from __future__ import annotations

import sys
from typing import Any

import vwo_celery
from vwo_celery.events import encode
from vwo_celery.producing.singles import envelope

SDK_KEY = "0123456789abcdef0123456789abcdef"
WHOSE: dict[str, Any] = {"account_id": 1, "sdk_key": SDK_KEY}
TARGET = f"/events/t?en=purchase&a=1&env={SDK_KEY}&p=FS"


def fme(name: str) -> dict[str, Any]:
    """An FME event with its own name."""
    event = {"name": "purchase", "props": {}, "time": 1_700_000_000_000}
    return {"d": {"msgId": name, "visId": name, "sessionId": 1_700_000_000, "event": event}}


def legacy(name: str) -> dict[str, Any]:
    """A legacy event with its own name."""
    return {"u": name, "sId": 1_700_000_000, "c": 2, "e": 101, "eT": 1}


def queues(base_url: str) -> dict[str, vwo_celery.Queue]:
    """The queues, by what they hold."""
    java = (("sd", "vwo-java-sdk"), ("sv", "1.66.0"), ("eb", "1"))
    destinations = {
        "silent": vwo_celery.Destination(**WHOSE, generation="fme", base_url=base_url, query=()),
        "java": vwo_celery.Destination(**WHOSE, generation="legacy", base_url=base_url, query=java),
        "single": vwo_celery.Destination(**WHOSE, generation="single", base_url=base_url),
    }
    return {
        what: vwo_celery.connect(
            destination,
            batch_event_data={"events_per_request": 10, "request_time_interval": 1},
            strict=True,
            enqueue_timeout_seconds=10,
        )
        for what, destination in destinations.items()
    }


def main() -> None:
    """Enqueue the events and print their number."""
    base_url, count = sys.argv[1], int(sys.argv[2])
    print("release", vwo_celery.__version__, flush=True)
    receipts = []
    for what, queue in queues(base_url).items():
        for number in range(count):
            event: Any = (legacy if what == "java" else fme)(f"{what}-{number}")
            if what == "single":
                event = envelope(queue.destination, TARGET, {}, encode(event))
            receipts.append(queue.enqueue(event))
    assert all(receipt.where == "redis" for receipt in receipts)
    print("stored", len(receipts), flush=True)


if __name__ == "__main__":
    main()
