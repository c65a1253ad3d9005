"""Where a spool is on this host: one set of files for each Redis and namespace.

Place: an edge, beneath the spool. All processes of a host that mean the same Redis and namespace share
one spool, and any of them drains it. The name holds a digest of the address, without its password: a
spool filled under a wrong password is drained under the right one. The folder is the user's own, since
the files hold the SDK key. The drain lock is the kernel's: it goes with the process that holds it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Any, NamedTuple

from vwo_celery.errors import SpoolUnavailable
from vwo_celery.forks import PerProcess
from vwo_celery.settings.redis_url import RedisUrl, address_of_server

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
_FOLDER_MODE, FILE_MODE = 0o700, 0o600


class SpoolFiles(NamedTuple):
    """The files of one spool."""

    database: str
    pending: str
    lock: str

    @property
    def folder(self) -> str:
        """The folder they are in."""
        return os.path.dirname(self.database)

    def make_folder(self) -> None:
        """Make the folder, closed to other users, if there is none.

        Raises:
            SpoolUnavailable: It cannot be made, or this system has no locks for it.
        """
        if fcntl is None:
            raise SpoolUnavailable(
                "the spool needs POSIX file locks, which this system does not have; "
                "set spool_dir to nothing"
            )
        try:
            os.makedirs(self.folder, mode=_FOLDER_MODE, exist_ok=True)
        except OSError as exc:
            raise SpoolUnavailable(f"the folder {self.folder} cannot be made: {exc}") from exc

    @property
    def hindrance(self) -> str:
        """Why this user could not keep events here, "" if nothing is in the way; changes nothing."""
        folder = self.folder
        while folder != os.path.dirname(folder) and not os.path.exists(folder):
            folder = os.path.dirname(folder)
        if not os.path.isdir(folder):
            return f"{folder} is no folder"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} may not be written by this user"
        return ""

    @property
    def hold_something(self) -> bool:
        """Whether events may be in them; costs one look at the folder."""
        return os.path.exists(self.pending)


def spool_files(spool_dir: str, namespace: str, address: str) -> SpoolFiles:
    """The files of the spool for one namespace of the Redis at *address*, see `address_of`."""
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    stem = os.path.join(spool_dir, f"{namespace}-{digest}")
    return SpoolFiles(f"{stem}.sqlite3", f"{stem}.pending", f"{stem}.lock")


def address_of(url: str, client: Any = None) -> str:
    """What tells one Redis from another: servers, user and database; no password.

    Args:
        url: As `connections` takes it.
        client: The client that is used instead of one made from it, if there is one.
    """
    pool = getattr(client, "connection_pool", None)
    options = getattr(pool, "connection_kwargs", None)
    if options is not None and not hasattr(pool, "service_name"):
        return address_of_server(options)
    return ("" if client is None else "given ") + RedisUrl.parse(url).address()


class DrainLock:
    """Held by at most one drainer of a spool, over all processes. Made by `drain_lock`.

    A POSIX record lock: a process' death frees it, a forked child does not have it. Such a lock also
    goes when the process closes any descriptor of the file, so that a process has one at a time.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._inside = PerProcess(threading.Lock)  # against other threads
        self._descriptor = -1

    def acquire(self) -> bool:
        """Take it, if nobody else has it.

        Raises:
            SpoolUnavailable: The lock file cannot be opened.
        """
        inside = self._inside.get()
        if not inside.acquire(blocking=False):
            return False
        try:
            locked = self._lock_file()
        except OSError as exc:
            inside.release()
            raise SpoolUnavailable(f"the lock {self._path} cannot be used: {exc}") from exc
        if not locked:
            inside.release()
        return locked

    def _lock_file(self) -> bool:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(self._descriptor)
            return False
        except OSError:
            os.close(self._descriptor)
            raise
        return True

    def release(self) -> None:
        """Give it back."""
        os.close(self._descriptor)
        self._inside.get().release()


_drain_locks: dict[str, DrainLock] = {}


def drain_lock(files: SpoolFiles) -> DrainLock:
    """The one drain lock that this process has for a spool."""
    return _drain_locks.setdefault(files.lock, DrainLock(files.lock))
