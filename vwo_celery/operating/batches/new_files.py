"""A new file that is there as a whole or not at all, and on the disk before anything relies on it.

Beside an event's way. It is written under another name in its folder, made safe with fsync, and gets
its own name last. If the process dies here, a file whose name ends with ".part" may be left over.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from vwo_celery.errors import VwoCeleryError
from vwo_celery.queue.words.keys import new_token

#: Rights of the file: its owner's alone, since events tell of visitors, and may hold an SDK key.
_OWNER_ONLY = 0o600


class FileRefused(VwoCeleryError):
    """The file cannot be made or written; there is none, or the one that was there is as it was."""


class NewFile:
    """A file in the making; without `keep`, nothing of it stays.

    Args:
        path: Its name, which no file has.

    Raises:
        FileRefused: There is such a file, or the folder takes none.
    """

    def __init__(self, path: Path) -> None:
        if not path.name:
            raise FileRefused(f"{str(path)!r} is no name of a file; nothing was written or removed")
        self._path = path
        self._part = path.with_name(f".{path.name}.{new_token()}.part")
        if os.path.lexists(path):
            raise FileRefused(
                f"there is a file {path.name!r} already; nothing was written or removed"
            )
        try:
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        except OSError as exc:
            where = f"{path.name!r} cannot be made in {str(path.parent)!r}"
            raise FileRefused(f"{where}: {exc.strerror}") from exc
        self._file = os.fdopen(descriptor, "wb")

    def __enter__(self) -> NewFile:
        return self

    def write(self, text: bytes) -> None:
        """Add *text*.

        Raises:
            FileRefused: The disk does not take it.
        """
        try:
            self._file.write(text)
        except OSError as exc:
            raise self._refused(exc) from exc

    def keep(self) -> None:
        """Make it safe on the disk, and give it its name.

        Raises:
            FileRefused: The disk does not take it, or somebody else has made a file of that name.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._name_it()
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as exc:
            raise self._refused(exc) from exc

    def _name_it(self) -> None:
        """Give it its name, which replaces no other file."""
        try:
            os.link(self._part, self._path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(self._path):
                raise
            self._part.rename(self._path)

    def _refused(self, exc: OSError) -> FileRefused:
        return FileRefused(f"{self._path.name!r} cannot be written: {exc.strerror}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink()
