"""Several processes that share one listening socket: started, replaced, told of signals, ended.

uvicorn has a supervisor, too; its methods change from release to release, and it restarts processes on
SIGHUP. If this process dies, the others see it and end as after SIGTERM: whoever started the relay
starts it again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Final

from vwo_celery.clocks import monotonic
from vwo_celery.logs import log

#: Least time between two starts of a process in one place, so that one that cannot start does no harm.
_RESTART_SECONDS: Final = 1.0
#: Time in which a process has ended that was asked to; then it is killed.
_END_SECONDS: Final = 15.0

_spawning: Final = multiprocessing.get_context("spawn")


class Processes:
    """The processes of one server.

    Args:
        target: A function to run in each, which can be pickled.
        args: Its arguments, pickled at each start.
        count: Number of processes.
        listening: The socket that they share, one of *args*; closed here when they shall end.
        on_hup: Called at SIGHUP, before the processes are told.
    """

    def __init__(
        self,
        target: Callable[..., None],
        args: Sequence[Any],
        *,
        count: int,
        listening: socket.socket,
        on_hup: Callable[[], None],
    ) -> None:
        self._target = target
        self._args = tuple(args)
        self._listening = listening
        self._on_hup = on_hup
        self._count = count
        self._processes: dict[int, BaseProcess] = {}  # by place
        self._started: dict[int, float] = {}
        self._read_end, self._write_end = socket.socketpair()
        self._write_end.setblocking(False)

    def run(self) -> None:
        """Keep the processes running until SIGTERM or SIGINT; then end them, and return."""
        handled = (signal.SIGTERM, signal.SIGINT, *_hang_up())
        before = {each: signal.signal(each, self._note) for each in handled}
        take_hang_ups()
        try:
            while self._keep_running():
                pass
        finally:
            self._listening.close()  # nobody waits meanwhile for a connection that none will take
            self._end()
            for each, handler in before.items():
                signal.signal(each, handler)
            self._read_end.close()
            self._write_end.close()

    def _note(self, number: int, _: Any) -> None:
        with suppress(BlockingIOError):
            self._write_end.send(bytes([number]))

    def _keep_running(self) -> bool:
        """Start what is missing, and wait for a signal or the end of a process; False to end all."""
        now = monotonic()
        for place in range(self._count):
            self._keep_place(place, now)
        sentinels = [each.sentinel for each in self._processes.values()]
        pause = _RESTART_SECONDS if len(sentinels) < self._count else None
        if self._read_end not in wait([self._read_end, *sentinels], pause):
            return True
        for number in self._read_end.recv(64):
            if number not in _hang_up():
                return False
            self._on_hup()
            self._tell(signal.Signals(number))
        return True

    def _keep_place(self, place: int, now: float) -> None:
        process = self._processes.get(place)
        if process is not None and process.exitcode is not None:
            log.error("process %s has ended, exit code %s", process.pid, process.exitcode)
            del self._processes[place]
            process.close()
        if place in self._processes or now < self._started.get(place, 0) + _RESTART_SECONDS:
            return
        self._started[place] = now
        self._processes[place] = _spawning.Process(
            target=_run_until_parent_ends, args=(self._target, self._args)
        )
        keep_hang_ups()  # the process begins so, and takes them once it can
        try:
            self._processes[place].start()
        finally:
            take_hang_ups()

    def _tell(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            if process.pid is not None and process.exitcode is None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def _end(self) -> None:
        self._tell(signal.SIGTERM)
        deadline = monotonic() + _END_SECONDS
        for process in self._processes.values():
            process.join(max(0.0, deadline - monotonic()))
            if process.exitcode is None:
                log.error("process %s did not end in time, and is killed", process.pid)
                process.kill()
                process.join()


def keep_hang_ups() -> None:
    """Have SIGHUP wait from now on, instead of ending this process; those that it starts begin so."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, _hang_up())


def take_hang_ups() -> None:
    """Take SIGHUP, also one that has waited."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _hang_up())


def _hang_up() -> tuple[int, ...]:
    return (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()


def _run_until_parent_ends(target: Callable[..., None], args: Sequence[Any]) -> None:
    """Run a function; if the process that started this one dies, end as after SIGTERM."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(
            target=_watch, args=(parent.sentinel,), name="vwo-celery-parent", daemon=True
        ).start()
    target(*args)


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
