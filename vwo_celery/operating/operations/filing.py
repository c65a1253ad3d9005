"""Dead letters to a file, and back from one.

Beside an event's way. An export removes nothing before the file is whole, safe on the disk and read
again. An import puts each batch back once, whatever is repeated. One batch is in memory at a time. If
the process dies here, the batches that it has not come to are as they were; the same import goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import IO, Final

import msgspec

from vwo_celery.logs import announce_drop
from vwo_celery.operating.batches.contradictions import contradiction
from vwo_celery.operating.batches.dead_files import (
    LONGEST_LINE_BYTES,
    BadLine,
    DeadLine,
    line_of,
    read_line,
    restored,
)
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.batches.new_files import FileRefused, NewFile
from vwo_celery.operating.operations.bulk import Amount, Brake
from vwo_celery.operating.past.audit import Actor, Recording, recorded
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.handling import moving
from vwo_celery.queue.handling.moving import EXPORTED, Arrival
from vwo_celery.queue.looks import places
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration
from vwo_celery.queue.work import moves
from vwo_celery.text.amounts import count

#: Most lines that could not be imported whose reason is kept; the others are counted.
_TOLD_LINES: Final = 20
#: First bytes of a file that gzip has made.
_GZIP: Final = b"\x1f\x8b"


class Exported(msgspec.Struct, frozen=True):
    """The result of an export.

    Attributes:
        written: What is in the file.
        removed: What was removed from its queue afterwards.
        left: Batches of which events are gone from Redis; not in the file, and not removed.
        stopped: Whether the brake stopped it: no file was kept, or not all was removed.
    """

    written: Amount = Amount()
    removed: Amount = Amount()
    left: Amount = Amount()
    stopped: bool = False


class Refused(msgspec.Struct, frozen=True):
    """A line that was not imported, by its number from 1, and why."""

    line: int
    why: str


class Imported(msgspec.Struct, frozen=True):
    """The result of an import.

    Attributes:
        imported: Batches that are dead letters again.
        present: Batches that were there, or had been imported lately; left as they are.
        refused: Lines of which nothing was imported, the first ones of many.
        refused_lines: How many there were.
        stopped: Whether the brake stopped it.
    """

    imported: Amount = Amount()
    present: Amount = Amount()
    refused: tuple[Refused, ...] = ()
    refused_lines: int = 0
    stopped: bool = False


def export_dead(
    fleet: Fleet,
    actor: Actor,
    registered: Mapping[str, Registration],
    found: Iterable[DeadBatch],
    path: Path | None,
    *,
    out: Callable[[bytes], object] = lambda _: None,
    remove: bool = False,
    hide_key: bool = False,
    whole: bool = False,
    filter: str = "",
    brake: Brake | None = None,
    watch: Callable[[Amount], None] = lambda _: None,
) -> Exported:
    """Write dead letters to a new file; with *remove*, drop them afterwards, counted as "exported".

    Args:
        fleet: The queues.
        actor: Who asks for it.
        registered: Their registrations.
        found: The dead letters.
        path: The new file; None for *out*.
        out: Takes the lines where there is no file; nothing can be removed then.
        remove: Whether they are dropped once the file is safe.
        hide_key: Whether a mark stands in place of SDK keys, for which an import puts them back.
        whole: Whether nothing is exported unless something is, and no batch is left out.
        filter: By what they were picked, as it was typed.
        brake: What stops it after the batch that it is at.
        watch: Called after each batch with what has been written.

    Raises:
        FileRefused: The file is there, or the disk does not take it, or it would not be whole;
            nothing was removed.
        QueueUnavailable: Redis did not answer. If the file is there, some may have been removed.
    """
    brake = brake or Event()
    with recorded(fleet, actor, "dead export", queues=sorted(registered), filter=filter) as entry:
        if path is None:
            result = _Writing(fleet, registered, brake, out, watch, hide_key).write(found)
            if whole:
                _check_whole(result)
            entry.note = _told(result)
            return result
        with NewFile(path) as file:
            result = _Writing(fleet, registered, brake, file.write, watch, hide_key).write(found)
            if result.stopped:
                entry.interrupt()
                return msgspec.structs.replace(result, written=Amount())
            file.keep()
        entry.note = _told(result)
        if remove:
            result = _remove(fleet, actor, path, result, brake, entry)
        return result


def _check_whole(result: Exported) -> None:
    """Refuse what would miss something that somebody counts on."""
    if result.left.batches:
        batches = count(result.left.batches, "batch", "batches")
        raise FileRefused(
            f"events of {batches} are gone from Redis; nothing was exported. vwo-celery dead export "
            "writes the other batches"
        )
    if not result.written.batches:
        raise FileRefused("no dead letter matches any more; nothing was exported")


def _told(result: Exported) -> str:
    """What was written, for whoever reads the audit."""
    left = result.left.batches
    more = f"; {count(left, 'batch', 'batches')} left out, since events are gone" if left else ""
    return f"{count(result.written.events, 'event')} written{more}"


class _Writing:
    """The lines of one export."""

    def __init__(
        self,
        fleet: Fleet,
        registered: Mapping[str, Registration],
        brake: Brake,
        out: Callable[[bytes], object],
        watch: Callable[[Amount], None],
        hide_key: bool,
    ) -> None:
        self._hide_key = hide_key
        self._fleet = fleet
        self._registered = registered
        self._brake = brake
        self._out = out
        self._watch = watch

    def write(self, found: Iterable[DeadBatch]) -> Exported:
        written, left = Amount(), Amount()
        for dead in found:
            if self._brake.wait(0):
                return Exported(written, left=left, stopped=True)
            shard = self._fleet.shard(dead.queue, dead.shard)
            pages = moves.event_pages(shard, dead.batch, dead.events)
            events = [event for page in pages for event in page]
            if len(events) != dead.events:
                if moves.look_up(shard, [dead.batch], "dead"):  # else somebody has changed it
                    left += Amount(1, dead.events)
                continue
            to = self._registered[dead.queue].destination
            self._out(line_of(dead, to, events, hide_key=self._hide_key))
            written += Amount(1, dead.events)
            self._watch(written)
        return Exported(written, left=left)


def _remove(
    fleet: Fleet, actor: Actor, path: Path, result: Exported, brake: Brake, entry: Recording
) -> Exported:
    """Drop what can be read from the file."""
    removed, queues = Amount(), Counter[str]()
    try:
        with path.open("rb") as file:
            for _, line in _lines(file):
                if brake.wait(0):
                    entry.interrupt()
                    return msgspec.structs.replace(result, removed=removed, stopped=True)
                if isinstance(line, BadLine):
                    raise FileRefused(f"{path.name!r} cannot be read again: {line}")
                events = fleet.shard(line.queue, line.shard).purge(line.batch, reason=EXPORTED)
                removed += Amount(int(events > 0), events)
                queues[line.queue] += events
                entry.done = removed.events
    finally:
        for queue, events in (+queues).items():
            announce_drop(queue, EXPORTED, events, f"{actor} exported dead letters to a file")
    return msgspec.structs.replace(result, removed=removed)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, DeadLine | BadLine]]:
    """Each line of a file by its number, or what is wrong with it; empty ones are left out."""
    number = 0
    while text := file.readline(LONGEST_LINE_BYTES):
        number += 1
        if number == 1 and text.startswith(_GZIP):
            yield number, BadLine("the file is compressed; zcat FILE | vwo-celery dead import -")
            return
        if len(text) >= LONGEST_LINE_BYTES and not text.endswith(b"\n"):
            while text and not text.endswith(b"\n"):
                text = file.readline(LONGEST_LINE_BYTES)
            yield number, BadLine("it is longer than any batch")
        elif text.strip():
            try:
                yield number, read_line(text)
            except BadLine as exc:
                yield number, exc


def import_dead(
    fleet: Fleet,
    actor: Actor,
    registered: Mapping[str, Registration],
    file: IO[bytes],
    *,
    queue: str = "",
    most_dead_events: int,
    brake: Brake | None = None,
    watch: Callable[[Imported], None] = lambda _: None,
) -> Imported:
    """Make dead letters of the batches in a file; each once, also if it is run again.

    Args:
        fleet: The queues.
        actor: Who asks for it.
        registered: All queues.
        file: The file, whose lines are read one after the other.
        queue: The queue that they go to; "" for the one that each was in.
        most_dead_events: Most dead events of a queue; workers drop the oldest beyond that.
        brake: What stops it after the batch that it is at.
        watch: Called after each line with what has been done so far.

    Raises:
        QueueUnavailable: Redis did not answer, or is full; the same import goes on from there.
    """
    brake, reading = brake or Event(), _Reading(fleet, registered, queue, most_dead_events)
    queues = [queue] if queue else []
    with recorded(fleet, actor, "dead import", queues=queues) as entry:
        try:
            for number, line in _lines(file):
                if brake.wait(0):
                    entry.interrupt()
                    return msgspec.structs.replace(reading.result, stopped=True)
                reading.take(number, line)
                watch(reading.result)
        finally:
            entry.done = reading.result.imported.events
    return reading.result


class _Reading:
    """The lines of one import."""

    def __init__(
        self, fleet: Fleet, registered: Mapping[str, Registration], queue: str, most_events: int
    ) -> None:
        self.result = Imported()
        self._fleet = fleet
        self._registered = registered
        self._queue = queue
        self._most_events = most_events
        self._known: dict[str, list[Shard]] = {}

    def take(self, number: int, line: DeadLine | BadLine) -> None:
        """Import one line, or note why nothing of it was."""
        whole = line if isinstance(line, BadLine) else self._whole(line)
        why = str(whole) if isinstance(whole, BadLine) else self._import(whole)
        if why:
            told = (*self.result.refused, Refused(number, why))[:_TOLD_LINES]
            self._note(refused=told, refused_lines=self.result.refused_lines + 1)

    def _whole(self, line: DeadLine) -> DeadLine | BadLine:
        """The line with its queue's key where a mark stands for it."""
        target = self._registered.get(self._queue or line.queue)
        try:
            return restored(line, target.destination.sdk_key) if target else line
        except BadLine as exc:
            return exc

    def _import(self, line: DeadLine) -> str:
        """Import a line; why not, "" if it is imported or was there."""
        queue, amount = self._queue or line.queue, Amount(1, line.events)
        target = self._registered.get(queue)
        if target is None:
            return f"no queue {queue!r} is registered here; name another one with --queue"
        events = line.encoded
        if home := self._home(line.batch, queue, line.queue):
            if home == queue:
                self._note(present=self.result.present + amount)
                return ""
            return (
                f"batch {line.batch} is in queue {home}, or was imported into it; "
                "vwo-celery move takes it to another"
            )
        if why := self._refusal(line, target, events):
            return why
        shard = self._fleet.shard(queue, line.shard % target.shards)
        code = self._arrive(shard, line, events)
        if code == moving.CAME_BEFORE:
            self._note(present=self.result.present + amount)
        elif code == moving.ARRIVED:
            self._note(imported=self.result.imported + amount)
        else:
            return moves.why_not(code)
        return ""

    def _refusal(self, line: DeadLine, target: Registration, events: list[bytes]) -> str:
        destination = target.destination
        if line.destination.get("generation") != destination.generation:
            return f"{destination.queue} takes events of generation {destination.generation} only"
        if destination.queue != line.queue and (found := contradiction(events, destination)):
            return f"{found}, and {destination.queue} has another"
        kept = places.dead_events(self._shards(destination.queue))
        if kept + line.events > self._most_events:
            return (
                f"{destination.queue} holds {count(kept, 'dead event')}, and workers drop the oldest "
                f"beyond max_dead_events ({self._most_events:,})"
            )
        return ""

    def _home(self, batch: str, *queues: str) -> str:
        """The queue of these, or of those that took imports, that has or had a batch; "" for none."""
        shards = [shard for queue in dict.fromkeys(queues) for shard in self._shards(queue)]
        home = places.home_of([*shards, *self._took_imports], batch)
        return home.queue if home else ""

    @cached_property
    def _took_imports(self) -> list[Shard]:
        every = [shard for queue in self._registered for shard in self._shards(queue)]
        return places.took_imports(every)

    def _shards(self, queue: str) -> list[Shard]:
        """Every shard of a queue; none if it is not registered."""
        if queue not in self._known:
            known = self._registered.get(queue)
            self._known[queue] = self._fleet.all_shards(known) if known else []
        return self._known[queue]

    def _arrive(self, shard: Shard, line: DeadLine, events: list[bytes]) -> int:
        if not moves.stage(shard, line.batch, events):
            return moving.NOT_STAGED
        arrival = Arrival(
            batch=line.batch,
            state="dead",
            events=line.events,
            bytes=line.size_bytes,
            first_ms=line.first_ms,
            attempt=line.attempts,
            error=line.reason,
            died_ms=line.died_ms,
        )
        return moving.arrive_from_file(shard, arrival)

    def _note(self, **changes: object) -> None:
        self.result = msgspec.structs.replace(self.result, **changes)
