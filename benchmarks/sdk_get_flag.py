"""Cost of `get_flag` on the shared queue, against the SDK's own queue in this process' memory.

Needs the FME SDK: `tests/sdk/run.sh fme -k parity`, then
`.venv-sdk-fme/bin/python benchmarks/sdk_get_flag.py`. Every decision has two events.
"""

from __future__ import annotations

import json
import os
import statistics
from functools import partial
from pathlib import Path
from typing import Any

from shared import console, in_turns, ratio, show

import vwo_celery
from vwo_celery.testing import RedisServer, Standin

SETTINGS = Path(__file__).parents[1] / "tests" / "data" / "captures" / "settings_fme.json"
OWN = "the SDK's own"
CALLS, ROUNDS = 200, 21
BATCH = {"events_per_request": 5000, "request_time_interval": 600}


def main() -> None:
    """Print the table."""
    given = json.loads(SETTINGS.read_text("utf-8"))
    with RedisServer() as server, Standin(settings=given) as standin:
        options = {
            "sdk_key": given["sdkKey"],
            "account_id": given["accountId"],
            "proxy_url": standin.url,
            "batch_event_data": BATCH,
        }
        client = vwo_celery.init(options, redis_url=server.url)
        queues = {
            "shared": client.batch_event_queue,
            OWN: _own_queue(given),
            "none: events thrown away": _Nothing(),
        }
        found = in_turns(
            {name: partial(_decide, client, queue) for name, queue in queues.items()},
            rounds=ROUNDS,
            events=CALLS,
        )
    rows = [
        (name, f"{statistics.median(times):.0f} µs", f"{ratio(found, name, OWN):.2f}")
        for name, times in found.items()
    ]
    show("get_flag, two events a decision", rows, "queue", "a call", "ratio")
    console.file.flush()
    os._exit(0)  # the SDK's own queue would keep the process


def _decide(client: Any, queue: Any) -> None:
    client.batch_event_queue = queue
    for number in range(CALLS):
        client.get_flag("checkout", {"id": f"user-{number}"})


def _own_queue(settings: dict[str, Any]) -> Any:
    from wingify.services.batch_event_queue import BatchEventQueue

    return BatchEventQueue(**BATCH, account_id=settings["accountId"], sdk_key=settings["sdkKey"])


class _Nothing:
    batch_queue = ()

    def enqueue(self, event: dict[str, Any]) -> None:
        """Forget the event."""


if __name__ == "__main__":
    main()
