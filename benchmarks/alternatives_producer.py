"""Producer process of bench_alternatives: hands over events in one of the compared ways.

Reads a line of JSON at a time from stdin and answers each with one: first the task (way, event,
addresses), then ["time", N] or ["weigh", N] any number of times. Exits as soon as its input ends, since
the SDKs' own timers would keep it alive for minutes. Only our own ways need vwo_celery: the SDKs
and celery-batches have environments of their own.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import importlib
import importlib.metadata
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

PATH = "/server-side/batch-events-v2"
ACCOUNT_ID = 888888
INTERVAL_SECONDS = 600
PAGE_EVENTS, AWAITS = 100, 50
Call = Callable[[dict[str, Any]], object]
#: Hands over events, and returns how long each call took, ns.
Drive = Callable[[list[dict[str, Any]]], list[int]]


def main() -> None:
    """Set up the way that the first line names, then obey the lines after it."""
    task = json.loads(sys.stdin.readline())
    try:
        drive = WAYS[task["way"]](task)
    except ImportError as exc:
        answer({"missing": str(exc)})
        return
    answer({"versions": versions(task["packages"])})
    make = make_legacy_event if task["way"] == "legacy" else make_event
    numbers = iter(range(10**9))
    for line in sys.stdin:
        what, count = json.loads(line)
        events = (make(task, next(numbers)) for _ in range(count))
        answer(weigh(drive, events, count) if what == "weigh" else measure(drive, list(events)))
    os._exit(0)


def answer(told: dict[str, Any]) -> None:
    """Print one line of JSON."""
    print(json.dumps(told), flush=True)


def versions(packages: Iterable[str]) -> str:
    """Names and versions of those that are installed."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


# -- measuring


def measure(drive: Drive, events: list[dict[str, Any]]) -> dict[str, float]:
    """Unix time of the first call; median and 99th percentile of a call, and the time an event, µs."""
    gc.collect()
    gc.freeze()  # the events are the benchmark's, not the application's
    started, began = time.time(), time.perf_counter()
    took = sorted(drive(events))
    each = (time.perf_counter() - began) / len(events)
    return {
        "started": started,
        "p50": took[len(took) // 2] / 1000,
        "p99": took[len(took) * 99 // 100] / 1000,
        "each": each * 1e6,
    }


def weigh(drive: Drive, events: Iterable[dict[str, Any]], count: int) -> dict[str, float]:
    """Bytes of this process's memory that each event still holds after its call."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for event in events:
        drive([event])
    del event
    gc.collect()
    held = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    return {"bytes_an_event": held}


def one_by_one(call: Call) -> Drive:
    """A call for each event, one after the other."""

    def drive(events: list[dict[str, Any]]) -> list[int]:
        took = []
        for event in events:
            before = time.perf_counter_ns()
            call(event)
            took.append(time.perf_counter_ns() - before)
        return took

    return drive


# -- events


def make_event(task: dict[str, Any], number: int) -> dict[str, Any]:
    """The task's event with strings of its own, as each visitor's event has."""
    made = copy.deepcopy(task["event"])
    data = made["d"]
    data["msgId"] = f"{data['msgId'][:-13]}{number:013d}"
    data["visId"] = f"{data['visId'][:-13]}{number:013d}"
    note = data["visitor"]["props"]["note"]
    data["visitor"]["props"]["note"] = f"{note[:-13]}{number:013d}"
    return made


def make_legacy_event(task: dict[str, Any], number: int) -> dict[str, Any]:
    """The legacy SDK's argument to its dispatcher; its queued part is as long as the other events."""
    queued = {"u": "0" * 32, "sId": 1795307469, "visitor_ua": "", "visitor_ip": "127.0.0.1"}
    queued |= {"c": 1, "e": 101, "eT": 1}
    missing = task["event_bytes"] - len(json.dumps(queued, separators=(",", ":")))
    return {
        "url": f"{task['sink']}/server-side/track-user",
        "account_id": ACCOUNT_ID,
        "experiment_id": 101,
        "combination": 1,
        "u": f"{number:032d}",
        "sId": 1795307469,
        "visitor_ua": f"{task['word']}{number:0{missing - len(task['word'])}d}",
        "visitor_ip": "127.0.0.1",
    }


# -- ways


def ours(task: dict[str, Any]) -> Drive:
    """This project, an event a call."""
    import vwo_celery

    return one_by_one(vwo_celery.connect(**connected(task)).enqueue)


def ours_in_pages(task: dict[str, Any]) -> Drive:
    """This project, a page of events a call."""
    import vwo_celery

    drive = one_by_one(vwo_celery.connect(**connected(task)).enqueue_many)
    return lambda events: drive(
        [events[at : at + PAGE_EVENTS] for at in range(0, len(events), PAGE_EVENTS)]
    )


def ours_at_once(task: dict[str, Any]) -> Drive:
    """This project, from coroutines that each await one event at a time."""
    import vwo_celery.aio

    queue, loop = vwo_celery.aio.connect(**connected(task)), asyncio.new_event_loop()

    async def client(events: Iterable[dict[str, Any]], took: list[int]) -> None:
        for event in events:
            before = time.perf_counter_ns()
            await queue.enqueue(event)
            took.append(time.perf_counter_ns() - before)

    async def clients(events: list[dict[str, Any]]) -> list[int]:
        took: list[int] = []
        await asyncio.gather(*(client(events[at::AWAITS], took) for at in range(AWAITS)))
        return took

    return lambda events: loop.run_until_complete(clients(events))


def connected(task: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `connect`."""
    import vwo_celery

    destination = vwo_celery.Destination(
        account_id=ACCOUNT_ID, sdk_key=task["key"], generation="fme", base_url=task["sink"]
    )
    return {
        "destination": destination,
        "batch_event_data": batching(task),
        "redis_url": task["redis"],
    }


def celery_batches(_: dict[str, Any]) -> Drive:
    """One task for each event; the worker makes batches of them."""
    importlib.import_module("celery_batches")
    from alternatives_app import post_batch

    return one_by_one(post_batch.delay)


def celery_task(_: dict[str, Any]) -> Drive:
    """One task for each event, which posts it."""
    from alternatives_app import post_one

    return one_by_one(post_one.delay)


def direct(task: dict[str, Any]) -> Drive:
    """A post for each event, in the caller."""
    import requests

    def post(event: dict[str, Any]) -> None:
        url = task["sink"] + PATH
        requests.post(url, json={"ev": [event]}, timeout=20).raise_for_status()

    return one_by_one(post)


def fme(task: dict[str, Any]) -> Drive:
    """The FME SDK's own queue, in a client that `vwo.init` made; its settings come from no network."""
    import vwo
    from wingify.wingify_builder import WingifyBuilder

    options = {
        "sdk_key": task["key"],
        "account_id": ACCOUNT_ID,
        "proxy_url": task["sink"],
        "batch_event_data": batching(task),
        "is_via_vwo": True,
    }
    settings = {
        "version": 1,
        "accountId": ACCOUNT_ID,
        "sdkKey": task["key"],
        "sdkMetaInfo": {"wasInitializedEarlier": True},
        "campaigns": [],
        "features": [],
    }

    class Builder(WingifyBuilder):
        def get_settings(self, force: bool = False) -> Any:
            self.settings = self.original_settings = settings
            return settings

    client = vwo.init({**options, "vwoBuilder": Builder(options)})
    return one_by_one(client.batch_event_queue.enqueue)


def legacy(task: dict[str, Any]) -> Drive:
    """The legacy SDK's own queue, in a client that `vwo.launch` made."""
    import vwo
    from vwo.constants import constants

    constants.HTTPS_PROTOCOL, constants.ENDPOINTS.BASE_URL = "http://", task["sink"][7:]
    settings = {"version": 1, "accountId": ACCOUNT_ID, "sdkKey": task["key"], "campaigns": []}
    client = vwo.launch(json.dumps(settings), batch_events=batching(task))
    return one_by_one(client.event_dispatcher.dispatch)


def batching(task: dict[str, Any]) -> dict[str, int]:
    """Batch options of the SDKs, which are also ours."""
    return {
        "events_per_request": task["per_request"],
        "request_time_interval": INTERVAL_SECONDS,
    }


WAYS: dict[str, Callable[[dict[str, Any]], Drive]] = {
    "ours": ours,
    "ours in pages": ours_in_pages,
    "ours at once": ours_at_once,
    "celery-batches": celery_batches,
    "celery task": celery_task,
    "direct": direct,
    "fme": fme,
    "legacy": legacy,
}

if __name__ == "__main__":
    main()
