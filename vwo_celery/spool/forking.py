"""Forks: while this process forks, none of its threads is inside SQLite.

Beneath the spool's database. SQLite has locks of its own for all databases of a process, in C, and
a child does not get new ones: forked while another thread was opening, writing or closing a file,
it would wait for ever at its first use of any. So a fork waits for what is under way, and what
comes waits for the fork. A program that forks without Python's hooks must do so before it spools.
"""

from __future__ import annotations

import os
import weakref
from _thread import RLock  # in C, also under gevent, whose own is taken in steps
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import cache
from typing import Protocol

#: Longest wait of a fork for a transaction that is under way.
FORK_WAIT_SECONDS = 1.0


class ClosedForForks(Protocol):
    """A database that is closed and locked while its process forks."""

    def before_fork(self) -> None:
        """Wait for what is under way, and close."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Start afresh."""


class _Gate:
    """What a fork closes to newcomers.

    Attributes:
        lock: Held by the thread that forks, and by one that makes a database.
        databases: Those that are closed before a fork.
        forks: Whether a thread forks, or waits to.
    """

    def __init__(self) -> None:
        self.lock, self.forks = RLock(), False
        self.databases: weakref.WeakSet[ClosedForForks] = weakref.WeakSet()

    def close(self) -> None:
        """Let nobody in, and wait for those who are inside."""
        self.forks = True
        self.lock.acquire(timeout=FORK_WAIT_SECONDS)
        self._each(lambda database: database.before_fork())

    def open_in_parent(self) -> None:
        """Let in who has waited."""
        self.forks = False
        self._each(lambda database: database.after_fork_in_parent())
        with suppress(RuntimeError):  # `close` did not get it in time
            self.lock.release()

    def open_in_child(self) -> None:
        """Let in the child, with a lock of its own."""
        self.lock, self.forks = RLock(), False
        self._each(lambda database: database.after_fork_in_child())

    def _each(self, react: Callable[[ClosedForForks], None]) -> None:
        for database in list(self.databases):
            react(database)


_gate = _Gate()


@cache
def _hook_into_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_gate.close,
            after_in_parent=_gate.open_in_parent,
            after_in_child=_gate.open_in_child,
        )


def watch_forks(database: ClosedForForks) -> None:
    """Close *database* before each fork from now on."""
    _hook_into_forks()
    with _gate.lock:
        _gate.databases.add(database)


def outside_forks() -> AbstractContextManager[object]:
    """Do something quick with SQLite that no fork may interrupt."""
    _hook_into_forks()
    return _gate.lock


def let_forks_pass(timeout_seconds: float) -> None:
    """Wait for a fork that is under way or waits, which many writers would else keep waiting."""
    if _gate.forks and _gate.lock.acquire(timeout=timeout_seconds):
        _gate.lock.release()
