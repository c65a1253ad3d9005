"""The audit of operators' changes: who did what, through which door, and what came of it.

Beside an event's way. Each change is recorded twice, under one id: before it begins, and when it has
ended. A process that is killed in between leaves the first entry alone, and the change is shown as
unfinished. A change never fails for want of its entry: Redis refuses one when it is full, which is
when an operator must act. It goes on, and a warning says what the audit does not hold.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.connections.errors import is_error_reply
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.logs import log
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.audits import AuditEntry, note_change, read_audit
from vwo_celery.queue.words.keys import new_token

#: Ways in which an operator reaches the queues.
DOORS = ("cli", "django", "celery", "api", "console", "top")
#: Pause between two looks for new entries.
_FOLLOW_SECONDS = 1.0


class Actor(msgspec.Struct, frozen=True):
    """Who asks for a change.

    Attributes:
        name: The person, or the program.
        door: One of `DOORS`.
        host: The host where they ask.
        change: The id that their change gets in the audit; "" for one that is made then.
    """

    name: str
    door: str
    host: str
    change: str = ""

    def __str__(self) -> str:
        return f"{self.name} on {self.host}"


def actor_of_cli(door: str = "cli") -> Actor:
    """Who runs this process, and where."""
    return Actor(_user(), door, socket.gethostname())


def new_change() -> str:
    """An id for a change that an `Actor` is about to make, by which it is found again."""
    return new_token()


def _user() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user id without a name, as containers have
        return f"user {os.getuid()}"
    person = os.environ.get("SUDO_USER", user)
    return user if person == user else f"{person} as {user}"


class Recording:
    """The change that is going on; the operation tells it what it has done.

    Attributes:
        done: What has been changed so far: events, or queues.
        result: "" while it goes on; set by `interrupt` and `fail`.
        error: Why it failed.
        note: What else came of it, for whoever reads the audit.
    """

    def __init__(self, begun: AuditEntry) -> None:
        self._begun = begun
        self._begun_at = monotonic()
        self.done = 0
        self.result = ""
        self.error = ""
        self.note = ""

    def interrupt(self) -> None:
        """Note that it ends before its time, because somebody stopped it."""
        self.result = "interrupted"

    def fail(self, error: str) -> None:
        """Note that it did not reach its end, and why."""
        self.result, self.error = "failed", error

    def entry(self) -> AuditEntry:
        """The entry of its outcome."""
        return msgspec.structs.replace(
            self._begun,
            phase="outcome",
            done=self.done,
            result=self.result or "ok",
            error=self.error,
            note=self.note,
            duration_ms=int(1000 * (monotonic() - self._begun_at)),
        )


@contextmanager
def recorded(
    fleet: Fleet,
    actor: Actor,
    command: str,
    *,
    queues: Iterable[str] = (),
    filter: str = "",
    reason: str = "",
    matched: int | None = None,
    unit: str = "events",
    waits_for_redis: bool = False,
) -> Iterator[Recording]:
    """Record one change: an entry before the block, and one with its outcome after it.

    Args:
        fleet: The queues.
        actor: Who asked for it.
        command: Its name, as the command line spells it.
        queues: The queues that it concerns.
        filter: What it is restricted to, as it was typed.
        reason: The operator's reason.
        matched: What it is about to change, as it was shown; None if nobody counted.
        unit: The unit of this number and of the one done: "events" or "queues".
        waits_for_redis: Whether the change itself waits for a Redis that does not answer.

    Raises:
        QueueUnavailable: Redis does not answer; nothing was changed. A Redis that answers and
            refuses the entry is only warned of.
    """
    begun = AuditEntry(
        change=actor.change or new_token(), phase="intent", who=actor.name, host=actor.host,
        door=actor.door, command=command, filter=filter, reason=reason, queues=tuple(queues),
        matched=matched, unit=unit,
    )  # fmt: skip
    _begin(fleet, begun, waits_for_redis=waits_for_redis)
    recording = Recording(begun)
    try:
        yield recording
    except Exception as exc:
        # Text of ours holds no secret; that of others may.
        recording.fail(str(exc) if isinstance(exc, VwoCeleryError) else type(exc).__name__)
        raise
    except BaseException:
        recording.interrupt()
        raise
    finally:
        _end(fleet, recording.entry())


def _begin(fleet: Fleet, begun: AuditEntry, *, waits_for_redis: bool) -> None:
    try:
        note_change(fleet, begun)
    except QueueUnavailable as exc:
        if not (waits_for_redis or is_error_reply(exc.__cause__) or fleet.in_cluster):
            raise
        log.warning(
            "%s goes on, although its beginning is not in the audit: %s", begun.command, exc
        )


def _end(fleet: Fleet, ended: AuditEntry) -> None:
    try:
        note_change(fleet, ended)
    except QueueUnavailable as exc:
        log.warning(
            "the end of %s is not in the audit (%s, %d done): %s",
            ended.command, ended.result, ended.done, exc,
        )  # fmt: skip


class Change(msgspec.Struct, frozen=True):
    """One change that an operator made, made of its two entries.

    Attributes:
        change: Its id.
        at_ms: Unix ms at which it began.
        who: The person or program that asked for it.
        host: The host where they did.
        door: The way in; see `DOORS`.
        command: Its name.
        filter: What it was restricted to, as it was typed.
        reason: The operator's reason.
        queues: The queues that it concerned, the first ones of many.
        more_queues: How many others it concerned.
        matched: What it was about to change; None if nobody counted.
        unit: The unit of `matched` and `done`, "events" or "queues".
        done: What it has changed; None if that is not known.
        result: ok, failed, interrupted; or "unfinished" where there is no second entry: it still goes
            on, or its process was killed.
        error: Why it failed.
        note: What else came of it, such as the last numbers of a queue that was forgotten.
        duration_seconds: How long it took; None if that is not known.
    """

    change: str
    at_ms: int
    who: str
    host: str
    door: str
    command: str
    filter: str
    reason: str
    queues: tuple[str, ...]
    more_queues: int
    matched: int | None
    unit: str
    done: int | None
    result: str
    error: str
    note: str
    duration_seconds: float | None

    def concerns(self, queue: str) -> bool:
        """Whether it concerned a queue, or may have: not all names of many are kept."""
        return queue in self.queues or self.more_queues > 0

    @property
    def amount(self) -> str:
        """What it has changed, in words: "3 of 5 events"; "-" if it only wrote a file."""
        if self.only_writes:
            return "-"
        done = "?" if self.done is None else f"{self.done:,}"
        of = "" if self.matched is None else f" of {self.matched:,}"
        last = self.done if self.matched is None else self.matched
        return f"{done}{of} {self.unit.removesuffix('s') if last == 1 else self.unit}"

    @property
    def only_writes(self) -> bool:
        """Whether it has changed nothing since it only wrote a file: its note tells how much."""
        return self.command == "dead export" and self.done == 0


def changes(fleet: Fleet, *, since_ms: int = 0, queues: Sequence[str] = ()) -> list[Change]:
    """The changes that began or ended since, the oldest first.

    Args:
        fleet: The queues.
        since_ms: Unix ms; 0 for all that are kept.
        queues: The queues that they concern; none for all.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    entries: dict[str, AuditEntry] = {}
    for entry in read_audit(fleet, since_ms=since_ms):
        entries[entry.change] = entry  # the outcome holds all that the intent does
    found = sorted(map(change_of, entries.values()), key=lambda each: each.at_ms)
    return [each for each in found if _concerns(each, queues)]


def find_change(fleet: Fleet, change: str, *, since_ms: int = 0) -> Change | None:
    """The change of an id; None if the audit has none, or has dropped it.

    Args:
        fleet: The queues.
        change: Its id.
        since_ms: Unix ms from which on to look, for a look that costs little.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    found = None
    for entry in read_audit(fleet, since_ms=since_ms):
        if entry.change == change:
            found = entry  # the outcome holds all that the intent does
    return None if found is None else change_of(found)


def _concerns(change: Change, queues: Sequence[str]) -> bool:
    return not queues or any(map(change.concerns, queues))


def follow(
    fleet: Fleet,
    wait: Callable[[float], Any],
    *,
    since_ms: int = 0,
    queues: Sequence[str] = (),
    tell: Callable[[str], Any] = lambda _: None,
) -> Iterator[Change]:
    """Yield changes as they begin, and again as they end, for ever; those since *since_ms* first.

    A Redis that goes away is waited for. What the stream still holds then is yielded, so nothing is
    missed unless Redis lost it.

    Args:
        fleet: The queues.
        wait: Waits between two looks.
        since_ms: Unix ms; 0 for all that are kept.
        queues: The queues that they concern; none for all.
        tell: Called with a line when Redis goes away, and when it is back.

    Raises:
        QueueUnavailable: Redis did not answer at the first look.
    """
    last, begun, away = f"{since_ms}-0", False, False
    while True:
        try:
            for entry in read_audit(fleet, after=last):
                last = entry.id
                change = change_of(entry)
                if _concerns(change, queues):
                    yield change
        except QueueUnavailable as exc:
            if not begun:
                raise
            if not away:
                tell(f"the audit cannot be read now, and is tried again each second: {exc}")
            away = True
        else:
            if away:
                tell("the audit can be read again")
            begun, away = True, False
        wait(_FOLLOW_SECONDS)


#: What a change has as its entries have it.
_IN_BOTH = (
    "change", "who", "host", "door", "command", "filter", "reason", "queues", "more_queues", "matched",
    "unit", "error", "note",
)  # fmt: skip


def change_of(entry: AuditEntry) -> Change:
    """The change as far as *entry* tells."""
    known = entry.phase == "outcome"
    facts: dict[str, Any] = {name: getattr(entry, name) for name in _IN_BOTH}
    return Change(
        **facts,
        at_ms=entry.at_ms - entry.duration_ms,
        done=entry.done if known else None,
        result=entry.result if known else "unfinished",
        duration_seconds=entry.duration_ms / 1000 if known else None,
    )
