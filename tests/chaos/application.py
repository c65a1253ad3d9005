"""An application process: enqueues at a steady rate and in bursts, and records every receipt.
Its one argument is a JSON object, see `Load`. A receipt is written with one system call before the
next event is made: after a SIGKILL the file is still true. The lines are read by receipts.py:
    FIRST COUNT WHERE REASON MILLISECONDS
for COUNT events from number FIRST on, in one call. Once the file QUIET exists it makes no further
events and stays alive; it never ends by itself.

SIGUSR1 makes it enqueue one more event at once, in the middle of whatever it does. SIGUSR2 makes a
clone of it: a process with the same memory, which believes to have the same id, and has no other
name than its receipts.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

if __name__ == "__main__":  # only in the application, and before anything else takes the function
    own = os.getpid()
    os.getpid = lambda: own

import vwo_celery
from chaos.relayed import RelayedQueue
from tools.dead_sockets import kill_sockets

_IDLE_SECONDS = 0.05
_LONGEST_SLEEP_SECONDS = 0.02


class Load(msgspec.Struct, frozen=True):
    """Load that an application produces.
    Attributes:
        name: Its name; its events are called NAME-NUMBER.
        receipts: File to which it appends its receipts.
        quiet: File that ends its events.
        account: VWO account of its events.
        sdk_key: That account's key.
        base_url: URL of VWO's stand-in.
        per_second: Single events per second.
        burst: Events of each burst, enqueued in one call; 0 for none.
        burst_every_seconds: Time from burst to burst.
        jitter: Share by which the size of each burst varies at random, 0 to 1.
        seed: Seed of that randomness.
        poison_every: One in this many single events is unreadable for VWO; 0 for none.
        first: Number of its first event.
        batch: Its `batch_event_data`.
        relays: Ports of the relays through which it sends; none to use the queue itself.
        form: How it sends through them, one of relayed.FORMS.
    """

    name: str
    receipts: str
    quiet: str
    account: int
    sdk_key: str
    base_url: str
    per_second: float
    burst: int
    burst_every_seconds: float
    batch: dict[str, int]
    jitter: float = 0.0
    seed: int = 0
    poison_every: int = 0
    first: int = 0
    relays: tuple[int, ...] = ()
    form: str = ""


#: Part of the name of an event that VWO's stand-in treats as unreadable in some faults.
POISON = "poison"


class Application:
    """Makes events and records their receipts."""

    def __init__(self, load: Load, queue: vwo_celery.Queue | RelayedQueue | None = None) -> None:
        self._load = load
        self._queue = queue or self._connect(load)
        self._next = load.first
        self._interrupts = False
        self._random = random.Random(load.seed)
        self._file = os.open(load.receipts, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def _connect(self, load: Load) -> vwo_celery.Queue | RelayedQueue:
        if load.relays:
            return RelayedQueue(load.relays, load.form, load.account, load.sdk_key)
        destination = vwo_celery.Destination(
            account_id=load.account,
            sdk_key=load.sdk_key,
            generation="legacy",
            base_url=load.base_url,
        )
        return vwo_celery.connect(destination, batch_event_data=load.batch, strict=True)

    def run(self) -> None:
        """Make events until told to be quiet, and stay alive."""
        load, quiet = self._load, Path(self._load.quiet)
        started = time.monotonic()
        singles, burst_at = 0, load.burst_every_seconds
        while not quiet.exists():
            passed = time.monotonic() - started
            if passed * load.per_second > singles:
                singles += 1
                self._enqueue_one(singles)
            elif load.burst and passed >= burst_at:
                burst_at += load.burst_every_seconds
                self._enqueue_burst()
            else:
                _rest(min(_LONGEST_SLEEP_SECONDS, 0.5 / load.per_second))
            singles = max(singles, int((time.monotonic() - started - 1) * load.per_second))
        while True:
            _rest(_IDLE_SECONDS)

    def interrupt(self, *_: object) -> None:
        """Enqueue an event, as a signal handler, unless one does so already."""
        if not self._interrupts:
            self._interrupts = True
            self._enqueue_one(1)
            self._interrupts = False

    def another(self, name: str) -> Application:
        """The same with other numbers, names and receipts, and with the same queue."""
        receipts = Path(self._load.receipts).with_name(f"{name}.receipts")
        load = msgspec.structs.replace(self._load, name=name, receipts=str(receipts), first=0)
        return Application(load, self._queue)

    def _enqueue_one(self, number: int) -> None:
        every = self._load.poison_every
        kind = POISON if every and number % every == 0 else ""
        self._tell(1, lambda: [self._queue.enqueue(self._event(self._next, kind))])

    def _enqueue_burst(self) -> None:
        load = self._load
        count = max(1, round(load.burst * (1 + load.jitter * self._random.uniform(-1, 1))))
        events = [self._event(number, "") for number in range(self._next, self._next + count)]
        self._tell(count, lambda: self._queue.enqueue_many(events))

    def _event(self, number: int, kind: str) -> dict[str, Any]:
        return {
            "u": f"{self._load.name}-{number}", "sId": int(time.time()), "visitor_ua": kind,
            "visitor_ip": "", "c": 2, "e": 101, "eT": 1,
        }  # fmt: skip

    def _tell(self, count: int, enqueue: Any) -> None:
        started = time.perf_counter()
        try:
            receipts = enqueue()
        except Exception as exc:  # the oracle counts it as a broken promise
            receipts = [vwo_celery.Receipt(where="dropped", reason=f"raised:{type(exc).__name__}")]
            receipts *= count
        ms = 1000 * (time.perf_counter() - started)
        lines = [
            f"{self._next + i} 1 {receipt.where} {receipt.reason or '-'} {ms:.1f}\n"
            for i, receipt in enumerate(receipts)
        ]
        if len({(receipt.where, receipt.reason) for receipt in receipts}) == 1:
            first = receipts[0]
            lines = [f"{self._next} {count} {first.where} {first.reason or '-'} {ms:.1f}\n"]
        self._next += count
        os.write(self._file, "".join(lines).encode())


def _rest(seconds: float) -> None:
    threading.Event().wait(seconds)


clones: list[int] = []


def clone(application: Application, name: str) -> None:
    """Fork without Python's knowledge; the clone goes on under another name for its receipts."""
    pid = ctypes.PyDLL(None).fork()
    if pid:
        clones.append(pid)
        return
    clones.clear()
    kill_sockets()
    application.another(name).run()


def end(*_: object) -> None:
    """End, after the clones were told to."""
    for pid in clones:
        os.kill(pid, signal.SIGTERM)
    sys.exit()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    load = msgspec.json.decode(sys.argv[1], type=Load)
    application = Application(load)
    signal.signal(signal.SIGUSR1, application.another(f"{load.name}-signal").interrupt)
    signal.signal(signal.SIGUSR2, lambda *_: clone(application, f"{load.name}-clone"))
    application.run()
