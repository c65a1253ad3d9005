"""The audit: who changed what, as a stream in Redis with an entry before each change and one after.

Beside an event's way; owns one key. Only operators write it, and the stream keeps the newest entries.
If the process dies between the two entries of a change, the first one stays alone and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.numbers import Shown
from vwo_celery.queue.words.registration import UNREADABLE

#: Entries that the stream keeps at least, once it holds so many; two for each change.
MOST_ENTRIES = 10_000
#: Entries that one command reads.
_PAGE = 500
#: Most characters of one value of an entry.
LONGEST_VALUE = 500
#: Most queues that an entry names.
MOST_QUEUES = 20


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the two entries of a change.

    Attributes:
        change: The change's id, the same in both entries.
        phase: "intent", written before the change, or "outcome", written after it.
        who: The person or program that asked for it.
        host: The host where they did.
        door: The way in: cli, django, celery, api, console or top.
        command: The name of the change.
        filter: What it was restricted to, as it was typed.
        reason: The operator's reason.
        queues: The queues that it concerned, the first ones of many.
        more_queues: How many others it concerned.
        matched: What it was about to change, as it was shown before; None if nobody counted.
        unit: The unit of `matched` and `done`: "events" or "queues".
        done: What it has changed.
        result: ok, failed or interrupted; "" in an intent.
        error: Why it failed.
        note: What else came of it, such as the last numbers of a queue that was forgotten.
        duration_ms: How long it took.
        id: The entry's place in the stream, which begins with the Unix ms; "" while it is not stored.
    """

    change: str
    phase: str
    who: str
    host: str
    door: str
    command: str
    filter: str = ""
    reason: str = ""
    queues: tuple[str, ...] = ()
    more_queues: int = 0
    matched: Shown | None = None
    unit: str = "events"
    done: Shown = 0
    result: str = ""
    error: str = ""
    note: str = ""
    duration_ms: Shown = 0
    id: str = ""

    @property
    def at_ms(self) -> int:
        """Unix ms at which Redis stored it."""
        return int(self.id.partition("-")[0] or 0)


def note_change(fleet: Fleet, entry: AuditEntry) -> None:
    """Append an entry; its texts are cut to their longest length.

    Raises:
        QueueUnavailable: Redis did not answer, or refused: it is full, or its user may not.
    """
    fields = {name: _field(value) for name, value in _filled(entry).items()}
    with unavailable("entry in the audit"):
        fleet.client.xadd(fleet.keys.audit, fields, maxlen=MOST_ENTRIES, approximate=True)


def _filled(entry: AuditEntry) -> dict[str, Any]:
    entry = msgspec.structs.replace(
        entry,
        queues=entry.queues[:MOST_QUEUES],
        more_queues=entry.more_queues + len(entry.queues[MOST_QUEUES:]),
    )
    values: dict[str, Any] = msgspec.to_builtins(entry)
    return {name: value for name, value in values.items() if value is not None}


def _field(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    return msgspec.json.encode([_text(name) for name in value]).decode()


def _text(text: str) -> str:
    return text[:LONGEST_VALUE].encode("utf-8", "replace").decode()


def read_audit(fleet: Fleet, *, since_ms: int = 0, after: str = "") -> Iterator[AuditEntry]:
    """Read the entries, the oldest first, in pages; one that is not readable is left out.

    Args:
        fleet: The queues.
        since_ms: Unix ms of the first entry wanted.
        after: The `id` of an entry, to read only those behind it; "" for all since *since_ms*.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    start = f"({after}" if after else str(since_ms)
    while True:
        with unavailable("look at the audit"):
            page = fleet.client.xrange(fleet.keys.audit, min=start, count=_PAGE)
        yield from _readable(page)
        if len(page) < _PAGE:
            return
        start = f"({as_text(page[-1][0])}"


def _readable(page: Iterable[tuple[Any, Mapping[Any, Any]]]) -> Iterator[AuditEntry]:
    for stored_as, fields in page:
        if not fields:
            continue  # deleted by hand
        values: dict[str, Any] = {as_text(name): as_text(text) for name, text in fields.items()}
        try:
            values["queues"] = msgspec.json.decode(values.get("queues", "[]"))
            entry = msgspec.convert(values | {"id": as_text(stored_as)}, AuditEntry, strict=False)
            msgspec.convert(entry.at_ms - entry.duration_ms, Shown)
        except UNREADABLE:
            continue  # of another program, or of a later release
        yield entry
