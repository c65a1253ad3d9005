"""The scripts of release 0.1.0, as its wheel has them, run on the keys of a shard.

That release composed them as this one does. Its producers raise a mark by one for each push,
however many events it has.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from functools import cache
from typing import Any

from upgrade.releases import HERE
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import Limits

#: Time that its sweep takes for a step of Redis' clock; no test goes so far.
_HORIZON_MS = 10**10
_IDLE_MS = 600_000
_SWEEP_NAMES = 8


@cache
def text_of(name: str) -> str:
    """The text of one of its scripts, with what it includes."""
    (wheel,) = HERE.glob("vwo_celery-0.1.0-*.whl")
    with zipfile.ZipFile(wheel) as archive:

        def read(path: str) -> str:
            return archive.read(f"vwo_celery/lua/{path}.lua").decode()

        return re.sub(
            r"(?m)^--@include (\w+)$", lambda found: read(f"shared/{found[1]}"), read(name)
        )


class ShardBefore:
    """A shard, as producers and sweepers of that release change it."""

    def __init__(self, shard: Shard) -> None:
        self._client = shard.client
        self._keys = shard.keys

    def _run(self, name: str, keys: Sequence[str], *arguments: Any) -> Any:
        return self._client.eval(text_of(name), len(keys), *keys, *arguments)

    @property
    def _six(self) -> tuple[str, ...]:
        k = self._keys
        return k.open, k.meta, k.ready, k.info, k.slots, k.leases

    def append(self, mark: str, number: int, event: bytes) -> bool:
        """Store one event the fast way; whether it is stored."""
        keys = (self._keys.open, self._keys.meta, self._keys.mark(mark))
        return bool(self._run("append", keys, number, event))

    def push(self, mark: str, number: int, events: Sequence[bytes]) -> int:
        """Store events; the code of the answer."""
        stem = f"{self._keys.prefix}batch:{mark}.{number:08d}"
        names = [f"{stem}.{i:04d}" for i in range(len(events) + 1)]
        keys = (*self._six, self._keys.mark(mark), *names)
        return int(self._run("enqueue", keys, number, *events)[0])

    def sweep(self, token: str, *, force: bool) -> bool:
        """Seal what is due; whether another call would seal more."""
        names = [self._keys.batch(f"{token}.{i:04d}") for i in range(_SWEEP_NAMES)]
        arguments = (int(force), token, _HORIZON_MS, _IDLE_MS)
        return bool(self._run("sweep", (*self._six, *names), *arguments)[3])

    def set_limits(self, limits: Limits) -> None:
        """Register its limits, as a producer does that starts."""
        fields = {name: getattr(limits, name) for name in Limits.__struct_fields__}
        fields.pop("batch_events")
        words = [word for field in fields.items() for word in field]
        self._run("limit", (self._keys.meta,), *words)

    def redrive(self, batch_id: str) -> int:
        """Put a dead letter back."""
        k = self._keys
        return int(self._run("redrive", (k.meta, k.ready, k.info, k.dead), batch_id))
