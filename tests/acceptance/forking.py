"""Programs that fork during their work; each is a function, named on the command line.

Each prints its facts as one line of JSON. A child that hangs prints its stack and ends.
"""

from __future__ import annotations

import asyncio
import faulthandler
import itertools
import json
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import vwo_celery
import vwo_celery.aio
from tools.waiting import wait_until

DESTINATION = vwo_celery.Destination(account_id=1, sdk_key="k" * 32, generation="fme")
BATCH = {"events_per_request": 40, "request_time_interval": 600}
CHILD_SECONDS = 50
THREADS = 6


def open_queue(**settings: Any) -> vwo_celery.Queue:
    """The one queue; its other settings are in the environment."""
    return vwo_celery.connect(DESTINATION, batch_event_data=BATCH, strict=True, **settings)


def fork(work: Callable[[], object]) -> int:
    """Run *work* in a child, which exits with 0 on success; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        faulthandler.dump_traceback_later(CHILD_SECONDS, exit=True)
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def exit_codes(pids: list[int]) -> list[int]:
    """The exit code of each child, or minus the signal that ended it."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def store(queue: vwo_celery.Queue, name: str, count: int, where: str = "redis") -> None:
    """Enqueue the given number of events, and check where their receipts say they are."""
    receipts = [queue.enqueue({"name": f"{name}-{number}"}) for number in range(count)]
    assert [receipt.where for receipt in receipts] == [where] * count, receipts


def tell(**facts: Any) -> None:
    """Report a fact to the test."""
    print(json.dumps(facts), flush=True)


def while_threads_enqueue(children: int = 60) -> None:
    """Fork again and again while threads enqueue, and so hold every lock at some fork."""
    queue = open_queue(enqueue_timeout_seconds=10)
    stopping, stored = threading.Event(), [0] * THREADS

    def enqueue(thread: int) -> None:
        while not stopping.is_set():
            assert queue.enqueue({"name": f"thread-{thread}-{stored[thread]}"})
            stored[thread] += 1

    threads = [threading.Thread(target=enqueue, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    pids = [
        fork(lambda child=child: store(queue, f"child-{child}", 5)) for child in range(children)
    ]
    codes = exit_codes(pids)
    stopping.set()
    for thread in threads:
        thread.join()
    tell(codes=codes, stored=stored)


def while_redis_is_away(children: int = 12) -> None:
    """Fork while Redis is away and a thread spools; end when everything is drained."""
    queue = open_queue(enqueue_timeout_seconds=10)
    store(queue, "before", 10)
    print("Redis may go", flush=True)
    stopping, stored, until = threading.Event(), [0], itertools.count()
    wait_until(lambda: queue.enqueue({"name": f"until-{next(until)}"}).where == "spooled", 20)

    def enqueue() -> None:
        while not stopping.is_set():
            store(queue, f"thread-{stored[0]}", 1, where="spooled")
            stored[0] += 1

    thread = threading.Thread(target=enqueue)
    thread.start()
    pids = [
        fork(lambda child=child: store(queue, f"child-{child}", 5, where="spooled"))
        for child in range(children)
    ]
    codes = exit_codes(pids)
    stopping.set()
    thread.join()
    print("Redis may come back", flush=True)
    wait_until(lambda: queue.spooled() == 0, 60)
    tell(codes=codes, stored=stored[0], until=next(until))


def short_lives(children: int = 60) -> None:
    """Fork children that enqueue two events each, after the parent has enqueued."""
    queue = open_queue(enqueue_timeout_seconds=10)
    store(queue, "parent", 2)
    pids = [
        fork(lambda child=child: store(queue, f"child-{child}", 2)) for child in range(children)
    ]
    tell(codes=exit_codes(pids))


def in_an_event_loop() -> None:
    """Fork while awaits are pending; one child goes on without a loop, one with its own."""
    queue = vwo_celery.aio.AioQueue(open_queue(enqueue_timeout_seconds=20))

    async def enqueue(name: str, count: int) -> None:
        events = [{"name": f"{name}-{number}"} for number in range(count)]
        assert all(await asyncio.gather(*(queue.enqueue(event) for event in events)))

    async def work() -> list[int]:
        await enqueue("before", 10)
        under_way = asyncio.create_task(enqueue("during", 500))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        without_loop = fork(lambda: store(queue.sync, "without", 20))
        own_loop = fork(lambda: asyncio.run(enqueue("own", 20)))
        codes = exit_codes([without_loop, own_loop])
        await asyncio.wait_for(under_way, SOON_SECONDS)
        await asyncio.wait_for(enqueue("after", 10), SOON_SECONDS)
        return codes

    tell(codes=asyncio.run(work()))


def spawn(method: str = "spawn") -> None:
    """Start a process that inherits nothing, first with the queue as an argument, then without."""
    context = multiprocessing.get_context(method)
    queue = open_queue(enqueue_timeout_seconds=10)
    store(queue, "parent", 5)
    error = ""
    try:
        context.Process(target=store, args=(queue, "never", 1)).start()
    except TypeError as exc:
        error = str(exc)
    child = context.Process(target=connect_and_store)
    child.start()
    child.join()
    tell(codes=[child.exitcode], error=error)


def given() -> None:
    """Start a process by fork, with the queue as an argument: it is inherited, not pickled."""
    queue = open_queue(enqueue_timeout_seconds=10)
    store(queue, "parent", 5)
    child = multiprocessing.get_context("fork").Process(target=store, args=(queue, "child", 30))
    child.start()
    child.join()
    tell(codes=[child.exitcode])


def forkserver() -> None:
    """Start a child like `spawn`, but from a fork server."""
    spawn("forkserver")


def connect_and_store() -> None:
    """Connect and enqueue in the new process."""
    store(open_queue(enqueue_timeout_seconds=10), "child", 30)


#: Less than the ten seconds that one attempt may take here.
SOON_SECONDS = 8

if __name__ == "__main__":
    globals()[sys.argv[1]]()
