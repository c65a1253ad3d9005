"""Locks between the processes of a host: who fills a spool file, and who drains it now.

Beneath the spool. POSIX record locks on single bytes of one file: the kernel frees them when the
process dies, and a forked child does not inherit them. They only keep processes from doing the same
work twice; where two hold one, nothing is lost or stored twice. A drain is locked for a short
period, so a process that stands still in one keeps the others waiting no longer than that.
"""

from __future__ import annotations

import hashlib
import os

from vwo_celery.clocks import unix_ms
from vwo_celery.errors import SpoolUnavailable
from vwo_celery.forks import PerProcess
from vwo_celery.spool.trust import FILE_MODE

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
HAS_LOCKS = fcntl is not None
#: Period for which a drain is locked: longer than a step takes while Redis answers.
_PERIOD_MS = 5_000
#: Bits of a byte's place that number the period; those above are the spool file's.
_PERIOD_BITS = 32


class _Held:
    """The lock file as one process holds it: its descriptor, and the bytes that are locked."""

    def __init__(self) -> None:
        self.descriptor = -1
        self.bytes: dict[int, object] = {}


class Locks:
    """The locks of one spool in this process. Made by `locks_at`.

    The process loses all of them by closing any descriptor of the file, so one stays open, and
    there is one object for a file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._held = PerProcess(_Held)

    def acquire(self, place: int) -> bool:
        """Lock a place unless another thread or process has; whether it was locked.

        Raises:
            SpoolUnavailable: The lock file cannot be used.
        """
        held, me = self._held.get(), object()
        if held.bytes.setdefault(place, me) is not me:
            return False
        try:
            fcntl.lockf(self._open(held), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            held.bytes.pop(place, None)
            return False
        except OSError as exc:
            held.bytes.pop(place, None)
            raise SpoolUnavailable(f"the lock {self._path} cannot be used: {exc}") from exc
        except BaseException:  # raised by a signal handler
            held.bytes.pop(place, None)
            raise
        return True

    def release(self, place: int) -> None:
        """Release a place that was locked."""
        held = self._held.get()
        if held.descriptor >= 0:
            fcntl.lockf(held.descriptor, fcntl.LOCK_UN, 1, place)
        held.bytes.pop(place, None)

    def _open(self, held: _Held) -> int:
        if held.descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            held.descriptor = os.open(self._path, flags, FILE_MODE)
            os.fchmod(held.descriptor, FILE_MODE)  # a umask may have taken rights of our own
        return held.descriptor


_all: dict[str, Locks] = {}


def locks_at(path: str) -> Locks:
    """Return this process' only locks for a lock file."""
    return _all.setdefault(path, Locks(path))


def place_of_filling(path: str) -> int:
    """The place that the process locks which fills a spool file, as long as it lives."""
    return _place_of(path) + (1 << _PERIOD_BITS) - 1


def place_of_draining(path: str) -> int:
    """The place that is locked for a step of a drain of a spool file in the present period."""
    return _place_of(path) + unix_ms() // _PERIOD_MS


def _place_of(path: str) -> int:
    digest = hashlib.sha256(os.path.basename(path).encode()).hexdigest()
    name = int(digest[:7], 16)  # in all, a place has 60 bits
    return name << _PERIOD_BITS
