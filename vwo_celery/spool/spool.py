"""The spool: the files of one Redis and namespace that hold events while Redis does not take them.

Beside stage 1; nothing is lost if the process dies, see `spool_file`. A process fills a file of its
own, which it makes, or takes over from one that has ended. Where its file is kept locked, as by a
process that stands still, it goes on in a new one. All files together are bounded, counted and
drained; each is deleted once it is empty.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from vwo_celery.clocks import monotonic
from vwo_celery.errors import SpoolFull, SpoolUnavailable
from vwo_celery.logs import seldom
from vwo_celery.queue.words.registration import Registration
from vwo_celery.spool.database import (
    SpoolBusy,
    SpoolDamaged,
    SpoolGone,
    ThreadsBusy,
)
from vwo_celery.spool.files import SpoolFiles, bytes_on_disk
from vwo_celery.spool.locks import locks_at, place_of_filling
from vwo_celery.spool.pages import Content, Page, Sent
from vwo_celery.spool.spool_file import SpoolFile, size_of
from vwo_celery.spool.tables import make_database
from vwo_celery.spool.trust import FileLeftAlone, check_file, check_folder
from vwo_celery.text.amounts import size

Found = TypeVar("Found")

#: Longest wait for other writers, where no request waits.
LOCK_TIMEOUT_SECONDS = 2.0
#: Size of the WAL in pages from which a commit copies it into the database: higher for requests,
#: since the drainer can copy it while no request waits.
_CHECKPOINT_OF_REQUESTS_PAGES, _CHECKPOINT_PAGES = 2000, 1000
#: Least space that `make_room` frees: this part of the capacity, and this many bytes.
_ROOM_SHARE, _LEAST_ROOM_BYTES = 100, 16_384
#: Most files that one `put` tries.
_MOST_TRIES = 4
#: Number of files from which a process shares one of them, instead of making another.
_MOST_FILES = 256
#: Time for which the size of other processes' files is believed.
_SIZES_SECONDS = 1.0
_SHORTEST_WAIT_SECONDS = 0.005


class Spool:
    """One spool; nothing is opened before the first use. Safe under threads, greenlets and forks.

    Every method raises SpoolUnavailable if its files cannot be used; nothing was changed then. A
    file that somebody else made, or may read or write, is left alone, and reported.

    Args:
        files: The spool's files.
        max_bytes: The spool's capacity.
        for_requests: Whether requests wait for its methods.
    """

    def __init__(self, files: SpoolFiles, *, max_bytes: int, for_requests: bool = False) -> None:
        self.files = files
        self.max_bytes = max_bytes
        self._pages = _CHECKPOINT_OF_REQUESTS_PAGES if for_requests else _CHECKPOINT_PAGES
        # By process id. What a fork inherited is kept, since SQLite must not close it in the child.
        self._own: dict[int, SpoolFile] = {}
        self._drained: dict[int, dict[str, SpoolFile]] = {}
        self._others: tuple[float, int] = 0.0, 0

    @property
    def holds_something(self) -> bool:
        """Whether it may hold events; costs a listing of the folder, and opens nothing."""
        try:
            return bool(self.paths())
        except SpoolUnavailable as exc:
            seldom.warn(f"spool {self.files.stem}", "the spool cannot be used: %s", exc)
            return False

    def paths(self) -> list[str]:
        """The files that can be trusted, oldest first; the log names others now and then."""
        paths = self.files.paths()
        if not paths:
            return []
        check_folder(self.files.folder)
        refused = _refused(paths)
        for why in refused.values():
            seldom.warn(f"spool file {why}", "a file of the spool is not drained: %s", why)
        return [path for path in paths if path not in refused]

    def refused(self) -> list[str]:
        """Why files of the spool are left alone, one text for each."""
        return list(_refused(self.files.paths()).values())

    # -- filling

    def put(
        self,
        registration: Registration,
        encoded: Sequence[bytes],
        sent: Sent | None = None,
        *,
        timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ) -> None:
        """Keep events of one queue in their order: all of them, or none.

        Args:
            registration: The queue's registration.
            encoded: The events, at most a page of them.
            sent: Shard and mark of an earlier push of them; None for none.
            timeout_seconds: Longest wait for other writers.

        Raises:
            SpoolFull: The events do not fit.
        """
        deadline, may_adopt = monotonic() + timeout_seconds, True
        tried: set[str] = set()
        for tries_left in reversed(range(_MOST_TRIES)):
            file = self._filled(may_adopt=may_adopt, tried=tried)
            tried.add(file.path)
            left = max(_SHORTEST_WAIT_SECONDS, deadline - monotonic())
            try:
                return self._put(
                    file, registration, encoded, sent, left / 2 if tries_left else left
                )
            except ThreadsBusy:
                if not tries_left or deadline <= monotonic():
                    raise
            except (SpoolBusy, SpoolDamaged, SpoolGone, FileLeftAlone) as exc:
                # A new file is nobody else's; one that was only drained may be taken over again.
                may_adopt = may_adopt and isinstance(exc, SpoolGone)
                self._leave(file)
                if not tries_left:
                    raise
        return None

    def _put(
        self,
        file: SpoolFile,
        registration: Registration,
        encoded: Sequence[bytes],
        sent: Sent | None,
        timeout_seconds: float,
    ) -> None:
        try:
            most = self.max_bytes - self._others_bytes(file)
            file.put(registration, encoded, sent, most_bytes=most, timeout_seconds=timeout_seconds)
        except SpoolFull:
            most = self.max_bytes - self._others_bytes(file, exactly=True)
            try:
                file.put(
                    registration, encoded, sent, most_bytes=most, timeout_seconds=timeout_seconds
                )
            except SpoolFull as exc:
                raise SpoolFull(
                    f"the spool {self.files.pattern} is at its capacity (max_spool_bytes, "
                    f"{size(self.max_bytes)})"
                ) from exc

    def _filled(self, *, may_adopt: bool, tried: Collection[str]) -> SpoolFile:
        """The file that this process fills; else one whose process has ended, or a new one.

        Where there are many, it shares one that it has not *tried*.
        """
        own = self._own.get(os.getpid())
        if own is not None:
            return own
        self.files.make_folder()
        paths = self.paths()
        for path in paths if may_adopt else []:
            if locks_at(self.files.lock).acquire(place_of_filling(path)):
                return self._keep(path)
        untried = [path for path in paths if path not in tried]
        if untried and len(paths) >= _MOST_FILES:
            return self._keep(random.choice(untried))
        self.files.clear_up()
        path = self.files.new_path()
        make_database(path)
        locks_at(self.files.lock).acquire(place_of_filling(path))
        return self._keep(path)

    def _keep(self, path: str) -> SpoolFile:
        file = SpoolFile(path, checkpoint_pages=self._pages)
        return self._own.setdefault(os.getpid(), file)

    def _leave(self, file: SpoolFile) -> None:
        """Fill another file from now on. The lock stays, so that nobody takes the file over."""
        if self._own.get(os.getpid()) is file:
            self._own.pop(os.getpid(), None)

    def _others_bytes(self, own: SpoolFile, *, exactly: bool = False) -> int:
        """Size of the other files: at most what they have on disk, with their logs; or exactly."""
        known_until, known = self._others
        if not exactly and monotonic() < known_until:
            return known
        others = [path for path in self.files.paths() if path != own.path]
        known = sum(map(self._used_bytes if exactly else bytes_on_disk, others))
        self._others = monotonic() + _SIZES_SECONDS, known
        return known

    def _used_bytes(self, path: str) -> int:
        try:
            with self._visit(path) as file:
                return file.used_bytes(timeout_seconds=_SHORTEST_WAIT_SECONDS)
        except SpoolUnavailable:
            return bytes_on_disk(path)

    def make_room(
        self, encoded: Sequence[bytes], *, timeout_seconds: float = LOCK_TIMEOUT_SECONDS
    ) -> dict[str, int]:
        """Delete the oldest events, so that *encoded* may fit.

        Events that were sent stay, since Redis may have them.

        Returns:
            Number of deleted events by queue.

        Raises:
            SpoolFull: All events were sent, or *encoded* would need more than half of the spool.
        """
        wanted = size_of(encoded)
        if 2 * wanted > self.max_bytes:
            raise SpoolFull(f"{size(wanted)} at once are more than half of the spool's capacity")
        wanted = max(wanted, self.max_bytes // _ROOM_SHARE, _LEAST_ROOM_BYTES)
        dropped: Counter[str] = Counter()
        for path in self.paths():
            if wanted > 0:
                freed, of_file = self._drop_oldest(path, wanted, timeout_seconds)
                wanted -= freed
                dropped.update(of_file)
        self._others = 0.0, 0
        if not dropped:
            raise SpoolFull("all that the spool holds is on its way already")
        return dict(dropped)

    def _drop_oldest(
        self, path: str, wanted_bytes: int, timeout_seconds: float
    ) -> tuple[int, dict[str, int]]:
        try:
            with self._visit(path) as file:
                if not self._is_own(path):
                    timeout_seconds = _SHORTEST_WAIT_SECONDS
                return file.drop_oldest(wanted_bytes, timeout_seconds=timeout_seconds)
        except SpoolUnavailable:
            return 0, {}  # the next oldest make room

    # -- draining

    def take(
        self,
        *,
        skip: Collection[str] = (),
        most_events: Mapping[str, int] | None = None,
        path: str | None = None,
        timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ) -> Page | None:
        """Take the oldest page; a page that was taken before and is still here comes again.

        Args:
            skip: Queues to leave alone.
            most_events: Most events of a page, by queue, where it is less than usual.
            path: The file to look into; None for all.
            timeout_seconds: Longest wait for other writers.

        Returns:
            The page, or None if there is none.
        """
        for each in self.paths() if path is None else (path,):
            with suppress(SpoolGone):
                page = self._at(each).take(
                    skip=skip, most_events=most_events, timeout_seconds=timeout_seconds
                )
                if page is not None:
                    return page
        return None

    def mark_anew(self, page: Page) -> Page:
        """Give a page another mark; see `SpoolFile.mark_anew`."""
        return self._at(page.path).mark_anew(page, timeout_seconds=LOCK_TIMEOUT_SECONDS)

    def put_back(self, page: Page) -> None:
        """Unmark a refused page; see `SpoolFile.put_back`."""
        self._at(page.path).put_back(page, timeout_seconds=LOCK_TIMEOUT_SECONDS)

    def remove(self, page: Page) -> bool:
        """Delete a page that Redis has stored; False if another drainer has done so."""
        return self._at(page.path).remove(page, timeout_seconds=LOCK_TIMEOUT_SECONDS)

    def tidy(self, path: str | None = None) -> bool:
        """Delete the files that are empty, of all or one; False if one is not empty."""
        is_empty = True
        for each in self.paths() if path is None else (path,):
            with suppress(SpoolGone):
                is_empty &= self._at(each).delete_if_empty(timeout_seconds=LOCK_TIMEOUT_SECONDS)
        return is_empty

    def checkpoint(self) -> None:
        """Copy the logs of the files under drain into them, without holding up writers."""
        for file in list(self._drained.get(os.getpid(), {}).values()):
            file.checkpoint()

    def _at(self, path: str) -> SpoolFile:
        """A file that is drained; it stays open until it is deleted."""
        files = self._drained.setdefault(os.getpid(), {})
        for each in [each for each in files if not os.path.exists(each)]:
            if (gone := files.pop(each, None)) is not None:
                gone.close()
        return files.setdefault(path, SpoolFile(path, checkpoint_pages=self._pages))

    # -- looking

    def count(self, queue: str | None = None) -> int:
        """Count the events of one queue, or of all."""
        return sum(self._look(lambda file, wait: file.count(queue, timeout_seconds=wait)))

    def contents(self) -> list[Content]:
        """List each queue's share of the spool, the oldest first; reads all of it."""
        of_queue: dict[str, Content] = {}
        for contents in self._look(lambda file, wait: file.contents(timeout_seconds=wait)):
            for each in contents:
                had = of_queue.get(each.queue)
                of_queue[each.queue] = each if had is None else had + each
        return sorted(of_queue.values(), key=lambda content: content.oldest_ms)

    def used_bytes(self) -> int:
        """Bytes of the capacity in use; 0 if the spool is empty."""
        return sum(self._look(lambda file, wait: file.used_bytes(timeout_seconds=wait)))

    def _look(self, look: Callable[[SpoolFile, float], Found]) -> list[Found]:
        """What each file shows that is still there."""
        found = []
        for path in self.paths():
            with suppress(SpoolGone), self._visit(path) as file:
                found.append(look(file, LOCK_TIMEOUT_SECONDS))
        return found

    @contextmanager
    def _visit(self, path: str) -> Iterator[SpoolFile]:
        """A file for one use: that of this process, or one that is closed again."""
        if self._is_own(path):
            yield self._own[os.getpid()]
            return
        file = SpoolFile(path, checkpoint_pages=self._pages)
        try:
            yield file
        finally:
            file.close()

    def _is_own(self, path: str) -> bool:
        own = self._own.get(os.getpid())
        return own is not None and own.path == path

    def close(self) -> None:
        """Close the files, and let other processes fill that of this one; the next use opens some."""
        own = self._own.pop(os.getpid(), None)
        if own is not None:
            own.close()
            locks_at(self.files.lock).release(place_of_filling(own.path))
        for file in self._drained.pop(os.getpid(), {}).values():
            file.close()


def _refused(paths: Iterable[str]) -> dict[str, str]:
    """Those of *paths* that cannot be trusted, and why."""
    refused = {}
    for path in paths:
        try:
            check_file(path)
        except SpoolUnavailable as exc:
            refused[path] = str(exc)
        except FileNotFoundError:
            continue
    return refused
