"""What one process does not share with another: values over a fork, and numbers with its clones.

Beside every stage. The process is recognised by its id, not by Python's fork hooks, which a server
that forks in C may not run. There is no lock inside, which a fork could leave locked. A clone (of a
virtual machine, or restored from a snapshot) has even the same id and memory, and nothing tells it
that it is one: it only differs in what it asks of the kernel from then on. Nothing is lost here if
the process dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from os import getpid, urandom
from typing import Generic, TypeVar

Value = TypeVar("Value")


def unshared_number() -> int:
    """A number of 64 bits that no clone of this process draws as well.

    Machines that start from one snapshot may have the kernel's random numbers in common for a
    while; their clocks have gone on for different times.
    """
    return int.from_bytes(urandom(8), "big") ^ time.time_ns()


class PerProcess(Generic[Value]):
    """A value that each process makes for itself; safe under threads, greenlets and forks.

    A forked child drops its parent's value when it makes its own.

    Args:
        make: Makes the value when a process first asks for it. Threads that ask at once may call it
            more than once; all of them get the same value, and the others are dropped.
    """

    __slots__ = ("_make", "_values")

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._values: dict[int, Value] = {}  # by process id; one step of a dict is atomic

    def get(self) -> Value:
        """Return this process' value.

        Raises:
            Exception: Whatever `make` raised; the next call makes the value again.
        """
        try:
            return self._values[getpid()]
        except KeyError:
            return self._keep(self._make())

    def peek(self) -> Value | None:
        """Return this process' value; None if it has none yet."""
        return self._values.get(getpid())

    def set(self, value: Value) -> None:
        """Use *value* in this process from now on."""
        self._values[getpid()] = value
        self._drop_inherited()

    def pop(self) -> Value | None:
        """Forget this process' value, and return it; None if there is none.

        The next `get` makes another.
        """
        return self._values.pop(getpid(), None)

    def _keep(self, value: Value) -> Value:
        kept = self._values.setdefault(getpid(), value)
        self._drop_inherited()
        return kept

    def _drop_inherited(self) -> None:
        mine = getpid()
        for process in list(self._values):
            if process != mine:
                self._values.pop(process, None)
