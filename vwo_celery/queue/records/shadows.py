"""The shadow's counters: what shadowed SDKs sent, and what our hook saw of the same events.

Beside an event's way; owns the key `shadow`. Processes add what they counted, each call once, by its
number; people read the sums. No event is stored here. If a process dies here, what it counted in its
last seconds is missing, on both sides alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.numbers import number
from vwo_celery.queue.words.registration import UNREADABLE

#: Kinds of numbers that a row has, in the order in which they are stored.
KINDS: Final = ("hooked", "sent", "lost", "held", "inherited", "unsendable", "aside")
#: Time for which the counters are kept after a process last added something.
KEPT_SECONDS: Final = 7 * 86_400.0
#: Most rows, and most processes that are listed one by one.
MOST_ROWS: Final = 1_000
MOST_PROCESSES: Final = 2_000
#: Sums of digests are kept modulo this number, in which Lua still calculates exactly.
WORD: Final = 1 << 32
#: State of a process that counts, and of one that has ended while its SDK held events.
State = Literal["runs", "ended"]


class RowName(NamedTuple):
    """What one row counts.

    Attributes:
        queue: The queue that `attach` would use.
        event: The event's name; of a legacy one its kind, by the SDK's method.
        campaign: Id of its campaign, and of a conversion that of its goal; "" for none.
    """

    queue: str
    event: str
    campaign: str


#: The row of events for which there was no row any more.
OTHERS: Final = RowName("", "(others)", "")


class Sum(NamedTuple):
    """Events of one kind, whatever their order.

    Attributes:
        events: Their number.
        low: Sum of the lower halves of their digests, modulo WORD.
        high: The same of the upper halves.
    """

    events: int = 0
    low: int = 0
    high: int = 0

    def plus(self, other: Sum, sign: int = 1) -> Sum:
        """The sum of both; with *sign* -1 the difference."""
        return Sum(
            self.events + sign * other.events,
            (self.low + sign * other.low) % WORD,
            (self.high + sign * other.high) % WORD,
        )


#: The sums of a row, in the order of KINDS.
Sums = tuple[Sum, ...]
NOTHING: Final[Sums] = (Sum(),) * len(KINDS)


def difference(sums: Sums) -> Sum:
    """What our hook saw of a row and the SDK neither sent, nor lost, nor holds; negative: the reverse.

    What a forked process inherited counts as seen, since its parent's hook saw it.
    """
    hooked, sent, lost, held, inherited, *_ = sums
    return hooked.plus(inherited).plus(sent, -1).plus(lost, -1).plus(held, -1)


class Told(NamedTuple):
    """What a process adds in one call, sent again unchanged until Redis has answered.

    Attributes:
        process: Name of the process, that no other has.
        host: Its host.
        call: Number of the call, from 1.
        since_ms: When the counters began, as the process knows it; 0 if it does not.
        held: Events that its SDK holds now.
        state: Whether it goes on.
        rows: What is to be added.
    """

    process: str
    host: str
    call: int
    since_ms: int
    held: int
    state: State
    rows: dict[RowName, Sums]


class Answer(NamedTuple):
    """What became of a call: whether it is counted, and when the counters began."""

    counted: bool
    since_ms: int


class Process(NamedTuple):
    """One process that counts, or did.

    Attributes:
        name: Its name.
        host: Its host.
        last_ms: Unix ms of its last call.
        first_ms: Unix ms of its first call.
        held: Events that its SDK held then.
        state: Whether it then went on.
    """

    name: str
    host: str
    last_ms: int
    first_ms: int
    held: int
    state: str


class Shadow(NamedTuple):
    """All that is counted.

    Attributes:
        since_ms: Unix ms at which the counters began.
        now_ms: Unix ms of the look.
        rows: The sums of each row.
        processes: Processes that count, and those that ended while their SDK held events.
        ended: Number of those that ended otherwise.
        unlisted: Number of processes beyond MOST_PROCESSES, of which only the sums are known.
    """

    since_ms: int
    now_ms: int
    rows: dict[RowName, Sums]
    processes: tuple[Process, ...]
    ended: int
    unlisted: int


def add_counts(fleet: Fleet, told: Told) -> Answer:
    """Add what a process counted, unless that is done already.

    Raises:
        QueueUnavailable: Redis did not answer. Whether it is counted is not known; the same call may
            be sent again.
    """
    arguments: list[Any] = [
        told.process, told.call, told.since_ms, told.held, told.state, told.host,
        int(1000 * KEPT_SECONDS), MOST_ROWS, MOST_PROCESSES, _field(OTHERS),
    ]  # fmt: skip
    for name, sums in told.rows.items():
        arguments += [_field(name), " ".join(str(each) for one in sums for each in one)]
    with unavailable("counts of a shadowed SDK"):
        code, since_ms = script("shadow").run(fleet.client, (fleet.keys.shadow,), arguments)
    return Answer(int(code) >= 0, int(since_ms))


def _field(name: RowName) -> str:
    return msgspec.json.encode(name).decode()


def read_shadow(fleet: Fleet) -> Shadow | None:
    """All that is counted; None if nothing is. What a later release wrote otherwise is skipped.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("look-up of the shadow's counters"):
        found = fleet.client.hgetall(fleet.keys.shadow)
    if not found:
        return None
    fields = {as_text(name): as_text(value) for name, value in found.items()}
    return Shadow(
        since_ms=number(fields.get("since_ms")),
        now_ms=fleet.now_ms(),
        rows=_rows(fields),
        processes=_processes(fields),
        ended=number(fields.get("ended")),
        unlisted=number(fields.get("unlisted")),
    )


def _rows(fields: Mapping[str, str]) -> dict[RowName, Sums]:
    rows = {}
    for field, text in fields.items():
        kind, _, name = field.partition(":")
        if kind != "row":
            continue
        try:
            words = [int(word) for word in text.split()]
            rows[msgspec.json.decode(name, type=RowName)] = tuple(
                Sum(*words[3 * i : 3 * i + 3]) for i in range(len(KINDS))
            )
        except (*UNREADABLE, ValueError):
            continue
    return rows


def _processes(fields: Mapping[str, str]) -> tuple[Process, ...]:
    processes = []
    for field, text in sorted(fields.items()):
        kind, _, name = field.partition(":")
        words = text.split(":", 5)
        if kind == "process" and len(words) == 6:
            last, first, held = map(number, words[1:4])
            processes.append(Process(name, words[5], last, first, held, words[4]))
    return tuple(processes)


def forget_counts(fleet: Fleet) -> bool:
    """Forget all that is counted; processes that count go on from zero. False if nothing was.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("reset of the shadow's counters"):
        return bool(fleet.client.unlink(fleet.keys.shadow))
