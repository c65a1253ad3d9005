"""The files of a spool on this host: one set for each Redis and namespace.

Beneath the spool. All processes of a host that use the same Redis and namespace share one spool,
and any of them drains it. Its name holds a digest of the Redis address without the password, so a
spool filled under a wrong password is drained under the right one. Only the user may read the
folder, since the files hold the SDK key. If a process dies, the kernel frees the drain lock that it
held; the files stay.
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
        """Folder of the files."""
        return os.path.dirname(self.database)

    def make_folder(self) -> None:
        """Make the folder, closed to other users, unless it exists.

        Raises:
            SpoolUnavailable: The folder cannot be made, or this system has no POSIX file locks.
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
        """Reason why this user could not keep events here, "" for none; changes nothing."""
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
        """Whether the spool may hold events; costs one `stat`."""
        return os.path.exists(self.pending)


def spool_files(spool_dir: str, namespace: str, address: str) -> SpoolFiles:
    """Return the files for one namespace of the Redis at *address*, see `address_of`."""
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    stem = os.path.join(spool_dir, f"{namespace}-{digest}")
    return SpoolFiles(f"{stem}.sqlite3", f"{stem}.pending", f"{stem}.lock")


def address_of(url: str, client: Any = None) -> str:
    """Return the identity of a Redis: servers, user and database, without the password.

    Args:
        url: The setting `redis_url`.
        client: The client in use instead of one made from the URL; None for none.
    """
    pool = getattr(client, "connection_pool", None)
    options = getattr(pool, "connection_kwargs", None)
    if options is not None and not hasattr(pool, "service_name"):
        return address_of_server(options)
    return ("" if client is None else "given ") + RedisUrl.parse(url).address()


class DrainLock:
    """A lock that at most one drainer of a spool holds, over all processes. Made by `drain_lock`.

    A POSIX record lock (`fcntl.lockf`): the kernel frees it when the process dies, and a forked
    child does not inherit it, as it would a lock of `flock`. The process also loses it by closing
    any descriptor of the file, so there is one DrainLock for a file in a process.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._inside = PerProcess(threading.Lock)  # keeps out this process' other threads
        self._descriptor = -1

    def acquire(self) -> bool:
        """Take the lock unless another thread or process holds it; whether it was taken.

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
        """Release the lock."""
        os.close(self._descriptor)
        self._inside.get().release()


_drain_locks: dict[str, DrainLock] = {}


def drain_lock(files: SpoolFiles) -> DrainLock:
    """Return this process' only drain lock for a spool."""
    return _drain_locks.setdefault(files.lock, DrainLock(files.lock))
