"""Each fault as a context manager on a running fleet: inflicted on entry, healed on exit.

The caller decides how long it lasts. If healing starts a program again, the exit returns when that
program is ready.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from uuid import uuid4

from chaos.application import POISON
from chaos.fleet import Fleet
from chaos.stores import ClusterStore, SentinelStore
from tools.tcpproxy import TcpProxy
from tools.waiting import wait_until
from vwo_celery.queue.fleet import Fleet as Queues
from vwo_celery.queue.scripts import script
from vwo_celery.testing import RedisServer, Request
from vwo_celery.testing.standin import Fault
from vwo_celery.testing.standin.faults import FaultLike

Infliction = Callable[[Fleet], AbstractContextManager[None]]

_SOON_SECONDS = 20.0
_REPEAT_SECONDS = 0.1
_MOVES = 4


@contextmanager
def nothing(fleet: Fleet) -> Iterator[None]:
    """No fault, for comparison."""
    yield


# -- workers


@contextmanager
def worker_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of the worker and its children, at any moment."""
    fleet.take_worker().kill()
    yield
    fleet.start_worker()


@contextmanager
def worker_killed_in_post(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of the worker while VWO holds a request, which VWO then accepts."""
    fleet.vendor.misbehave = lambda _: Fault(delay_seconds=0.5)
    wait_until(lambda: fleet.vendor.in_hand, _SOON_SECONDS)
    fleet.take_worker().kill()
    fleet.vendor.behave()
    yield
    fleet.start_worker()


def worker_dies(moment: str) -> Infliction:
    """SIGKILL of a pool process by itself at *moment*, one of delivery_app.py's."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        crashed = fleet.folder / f"crashed-{uuid4().hex}"
        _end_worker(fleet, signal.SIGTERM)
        fleet.start_worker(CRASH_AT=moment, CRASH_FILE=str(crashed))
        fleet.wait_until(crashed.exists, _SOON_SECONDS, "the worker's crash")
        yield
        _end_worker(fleet, signal.SIGTERM)
        fleet.start_worker()

    return infliction


@contextmanager
def pool_process_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of one pool process, as by the kernel when memory runs out."""
    fleet.worker_children()[0].kill()
    yield


def worker_ended(how: signal.Signals) -> Infliction:
    """The worker is asked to end, and then another is started, as in a rolling restart."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        _end_worker(fleet, how)
        yield
        fleet.start_worker()

    return infliction


def _end_worker(fleet: Fleet, how: signal.Signals) -> None:
    worker = fleet.end_worker(how)
    worker.wait(3 * _SOON_SECONDS)


# -- beat and hints


@contextmanager
def beat_dead(fleet: Fleet) -> Iterator[None]:
    """No beat."""
    (beat,) = fleet.beats
    fleet.beats = []
    beat.kill()
    yield
    fleet.beats = [fleet.installation.beat()]


@contextmanager
def beat_stalled(fleet: Fleet) -> Iterator[None]:
    """A beat that is stopped."""
    os.kill(fleet.beats[0].pid, signal.SIGSTOP)
    yield
    os.kill(fleet.beats[0].pid, signal.SIGCONT)


@contextmanager
def two_beats(fleet: Fleet) -> Iterator[None]:
    """A second beat."""
    second = fleet.installation.start(
        "beat", "--loglevel=INFO", f"--schedule={fleet.folder / 'schedule2'}", name="beat2"
    )
    fleet.beats.append(second)
    yield
    fleet.beats.remove(second)
    second.stop()


@contextmanager
def hints_lost(fleet: Fleet) -> Iterator[None]:
    """As many wake-ups as possible are deleted before a listener takes them."""
    wakeups = _queues(fleet).keys.wakeups
    with _again_and_again(lambda: fleet.client.delete(wakeups), 0.001):
        yield


@contextmanager
def hints_repeated(fleet: Fleet) -> Iterator[None]:
    """Ten wake-ups of one token, again and again."""
    queues, queue = _queues(fleet), fleet.shard.queue
    with _again_and_again(lambda: queues.leave_wakeups(queue, 0, ["again"] * 10), _REPEAT_SECONDS):
        yield


def _queues(fleet: Fleet) -> Queues:
    return Queues(fleet.client, "vwo")


@contextmanager
def _again_and_again(act: Callable[[], Any], pause_seconds: float) -> Iterator[None]:
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(pause_seconds):
            act()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# -- Redis

#: Names of the append-only log in the folder of a server.
_APPEND_ONLY = ("appendonlydir", "appendonly.aof")


@contextmanager
def redis_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of Redis; it comes back with its append-only file."""
    fleet.redis.kill()
    yield
    fleet.redis.start()


def outage(kind: Callable[[RedisServer, TcpProxy], AbstractContextManager[None]]) -> Infliction:
    """One of the outages of the producers' tests, for the whole fleet."""
    return lambda fleet: kind(fleet.redis, fleet.single.application_line)


@contextmanager
def redis_lost_tail(fleet: Fleet) -> Iterator[None]:
    """Redis comes back as it was a second before it died, as after a loss of power."""
    folder = fleet.redis.folder
    # A folder of several files from Redis 7 on, a single file before.
    log = next(path for path in map(folder.joinpath, _APPEND_ONLY) if path.exists())
    saved = fleet.folder / "saved"
    copy = shutil.copytree if log.is_dir() else shutil.copy2
    copy(log, saved)
    fleet.hold(1)
    fleet.redis.kill()
    if log.is_dir():
        shutil.rmtree(log)
    saved.replace(log)
    yield
    fleet.redis.start()


@contextmanager
def redis_emptied(fleet: Fleet) -> Iterator[None]:
    """FLUSHALL, as if a new Redis replaced the old one."""
    fleet.client.flushall()
    yield


@contextmanager
def scripts_flushed(fleet: Fleet) -> Iterator[None]:
    """SCRIPT FLUSH, again and again."""
    with _again_and_again(fleet.client.script_flush, _REPEAT_SECONDS):
        yield


@contextmanager
def broker_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of Celery's broker, which is not the queues' Redis, and its restart."""
    fleet.broker.kill()
    yield
    fleet.broker.start()


@contextmanager
def failed_over(fleet: Fleet) -> Iterator[None]:
    """The master dies, and the Sentinels promote a replica."""
    assert isinstance(fleet.store, SentinelStore)
    fleet.store.fail_over()
    yield


@contextmanager
def resharded(fleet: Fleet) -> Iterator[None]:
    """The queue's slot moves from node to node of a cluster."""
    assert isinstance(fleet.store, ClusterStore)
    for _ in range(_MOVES):
        fleet.store.move(fleet.shard.keys.open)
    yield


# -- the network


def on_line(whose: str, inflict: Callable[[TcpProxy], None]) -> Infliction:
    """Apply *inflict* to the proxies of "applications", "worker" or "all"."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        lines = {"applications": fleet.single.application_line, "worker": fleet.single.worker_line}
        chosen = list(lines.values()) if whose == "all" else [lines[whose]]
        for line in chosen:
            inflict(line)
        yield
        for line in chosen:
            line.drop_reply_to(b"", 0)
            line.pass_through()

    return infliction


def cut_often(whose: str) -> Infliction:
    """Every connection of "applications" or "worker" is reset, again and again."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        line = {"applications": fleet.single.application_line, "worker": fleet.single.worker_line}[
            whose
        ]
        with _again_and_again(line.cut_connections, 2 * _REPEAT_SECONDS):
            yield

    return infliction


def sha_of(name: str) -> bytes:
    """The SHA by which a command runs one of our scripts."""
    return script(name).sha.encode()


# -- VWO


def vendor(choose: FaultLike | Callable[[Request], FaultLike]) -> Infliction:
    """VWO answers every request with the fault, or as *choose* decides."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        fleet.vendor.misbehave = choose if callable(choose) else lambda _: choose
        yield
        fleet.vendor.behave()

    return infliction


def refuse_many(most: int) -> Callable[[Request], FaultLike]:
    """413 for a batch of more than *most* events."""
    return lambda request: 413 if len(request.events) > most else None


def refuse_poison(request: Request) -> FaultLike:
    """400 for a batch with an unreadable event."""
    return 400 if f'"{POISON}"'.encode() in request.body else None


@contextmanager
def vendor_down(fleet: Fleet) -> Iterator[None]:
    """Nobody listens at VWO's address."""
    fleet.vendor.stop()
    yield
    fleet.vendor.start()


# -- applications


@contextmanager
def applications_killed_spooling(fleet: Fleet) -> Iterator[None]:
    """Redis is away, applications spool and are killed; others on the same host find their spool."""
    with on_line("applications", TcpProxy.reset)(fleet):
        yield
        fleet.kill_applications()
    fleet.start_applications()


@contextmanager
def applications_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL of all applications; others are started."""
    fleet.kill_applications()
    yield
    fleet.start_applications()


def all_of(*inflictions: Infliction) -> Infliction:
    """Several faults at once."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        with ExitStack() as stack:
            for each in inflictions:
                stack.enter_context(each(fleet))
            yield

    return infliction
