"""The numbers of a shard's meta hash, as they stand in Redis.

Beneath `snapshots`. Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping

from vwo_celery.connections import unavailable
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.keys import as_text
from vwo_celery.queue.words.numbers import LARGEST

#: What those counters count that lag behind append.lua.
_COUNTED_IN = {
    "accepted": "events", "events": "events", "open_events": "events", "bytes": "bytes",
    "open_bytes": "bytes",
}  # fmt: skip
#: Room for one event, as in lua/shared/room.lua; what is less are bytes.
_ROOM_UNIT = 2**32


class Numbers:
    """The numbers of the meta hash by field; 0 for one that is missing or no number.

    The counters include events that append.lua stored since; see lua/shared/room.lua.

    Attributes:
        strange: Fields that were asked for and are no numbers.
    """

    def __init__(self, meta: Mapping[str, str]) -> None:
        self._meta = meta
        self.strange: list[str] = []

    def __getitem__(self, field: str) -> int:
        number = self._plain(field)
        if (unit := _COUNTED_IN.get(field)) is not None:
            number += self._plain(f"granted_{unit}") - self._plain(f"room_{unit}")
            number += self._taken_of_room(unit)
        return number

    def _taken_of_room(self, unit: str) -> int:
        """Events or bytes that were stored out of the room, while it is sure that none is counted."""
        if self._meta.get("granted_accepted") != self._meta.get("accepted"):
            return 0
        events, size = divmod(self._plain("granted") - self._plain("room"), _ROOM_UNIT)
        return events if unit == "events" else size

    def _plain(self, field: str) -> int:
        try:
            number = int(self._meta.get(field, 0))
        except ValueError:
            number = None
        if number is None or abs(number) > LARGEST:
            self.strange.append(field)
            return 0
        return number

    def limits(self) -> Limits | None:
        """The shard's limits; None if it has none, or not all of them can be read."""
        names = [n for n in Limits.__struct_fields__ if n in self._meta or n != "batch_events"]
        found = {name: self[name] for name in names}
        if not all(name in self._meta and name not in self.strange for name in names):
            return None
        return (
            Limits(**found) if min(found["capacity_events"], found["capacity_bytes"]) > 0 else None
        )


def undelivered_events(shard: Shard) -> int:
    """The number of a shard's events that are neither delivered nor dead nor dropped.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    fields = (
        "events", "granted_events", "room_events", "granted", "room", "granted_accepted", "accepted",
    )  # fmt: skip
    with unavailable(f"look at {shard.keys.name}"):
        found = shard.client.hmget(shard.keys.meta, fields)
    known = {name: as_text(text) for name, text in zip(fields, found, strict=True) if text}
    return max(0, Numbers(known)["events"])
