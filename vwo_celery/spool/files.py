"""The files of a spool on this host: one set for each Redis and namespace, a file for each writer.

Beneath the spool. Each process that spools fills a file of its own, so that one that stands still
in a write holds up no other; any process drains any of them, and deletes it once it is empty. So a
spool holds something if it has a file: to know that costs a listing of the folder. A file that an
operator puts there is drained like any other, if its name begins and ends like theirs. The names
hold a digest of the Redis address without the password, so a spool filled under a wrong password is
drained under the right one. The files hold the SDK key; see `trust`.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from typing import Any, NamedTuple

from vwo_celery.clocks import unix_ms
from vwo_celery.errors import SpoolUnavailable
from vwo_celery.queue.words.keys import new_token
from vwo_celery.settings.redis_url import RedisUrl, address_of_server
from vwo_celery.spool.locks import HAS_LOCKS
from vwo_celery.spool.trust import SUFFIXES, make_folder, try_folder

_ENDING = ".sqlite3"


class SpoolFiles(NamedTuple):
    """The files of one spool: what their paths begin with."""

    stem: str

    @property
    def folder(self) -> str:
        """Folder of the files."""
        return os.path.dirname(self.stem)

    @property
    def pattern(self) -> str:
        """Their paths, as a shell writes several of them."""
        return f"{self.stem}*{_ENDING}"

    @property
    def lock(self) -> str:
        """Path of the file whose bytes are locked; see `locks`."""
        return f"{self.stem}.lock"

    def paths(self) -> list[str]:
        """The spool files there are, oldest first.

        Raises:
            SpoolUnavailable: The folder cannot be read.
        """
        return self._named(re.escape(_ENDING))

    def _named(self, ending: str) -> list[str]:
        """The paths of the folder that begin with the stem and end so; others may share the folder."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise SpoolUnavailable(f"the folder {self.folder} cannot be read: {exc}") from exc
        ours = re.compile(rf"{re.escape(os.path.basename(self.stem))}(\..*)?{ending}")
        return [os.path.join(self.folder, name) for name in sorted(filter(ours.fullmatch, names))]

    def clear_up(self) -> None:
        """Delete what SQLite kept beside files that are gone, as where a process died deleting one.

        It may hold events that were delivered. The name of a file is never used again, but for that
        of 0.1.0, which has nothing between stem and ending.
        """
        for suffix in SUFFIXES[1:]:
            for path in self._named(re.escape(_ENDING + suffix)):
                file = path.removesuffix(suffix)
                if file != self.stem + _ENDING and not os.path.lexists(file):
                    with suppress(OSError):
                        os.unlink(path)

    def new_path(self) -> str:
        """A path for a new spool file: such a name sorts by age, and is never used again."""
        return f"{self.stem}.{unix_ms():012x}-{new_token()[:12]}{_ENDING}"

    def make_folder(self) -> None:
        """Make the folder, closed to other users, unless it exists; check who may use it.

        Raises:
            SpoolUnavailable: It cannot be made or trusted, or this system has no POSIX file locks.
        """
        if not HAS_LOCKS:
            raise SpoolUnavailable(
                "the spool needs POSIX file locks, which this system does not have; "
                "set spool_dir to nothing"
            )
        make_folder(self.folder)

    @property
    def hindrance(self) -> str:
        """Reason why this user could not keep events here, "" for none; leaves no trace."""
        try:
            try_folder(self.folder)
        except SpoolUnavailable as exc:
            return str(exc)
        return ""


def spool_files(spool_dir: str, namespace: str, address: str) -> SpoolFiles:
    """Return the files for one namespace of the Redis at *address*, see `address_of`."""
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    return SpoolFiles(os.path.join(spool_dir, f"{namespace}-{digest}"))


def bytes_on_disk(path: str) -> int:
    """Size of a spool file with its log; 0 if it is gone."""
    return sum(_size(path + suffix) for suffix in SUFFIXES[:2])


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


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
