"""Where the events of the present queue are: on a disk, in Redis, dead, or accepted by VWO."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

import vwo_celery
from chaos.application import POISON
from chaos.kit import SHARDS
from chaos.receipts import Receipts
from chaos.relayed import SPELLINGS
from chaos.vendor import Acceptance, Vendor, name_of
from tools.installation import KEY
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import Snapshot, take_snapshot, take_snapshots
from vwo_celery.queue.shard import Shard


@dataclass(frozen=True)
class Fates:
    """The present queue, seen from beside; behind relays, each account's two.
    Attributes:
        client: A client for reading the store, which no fault affects.
        vendor: VWO's stand-in.
        receipts: Those of the applications.
        accounts: The accounts of the applications in turn.
        account_of: The account of each application, by name.
        spool: The folder of the applications' spool, or of the relays'.
        relayed: Whether the applications send through relays.
    """

    client: Any
    vendor: Vendor
    receipts: Receipts
    accounts: Sequence[int]
    account_of: Mapping[str, int]
    spool: Path
    relayed: bool

    # -- on this host's disk

    def spool_files(self) -> list[Path]:
        """Spool files of the applications, or of the relays."""
        return sorted(self.spool.glob("*.sqlite3"))

    def spooled(self) -> int:
        """Number of events in these files."""
        found = 0
        for path in self.spool_files():
            with (
                suppress(sqlite3.OperationalError),  # removed meanwhile, since it was empty
                closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database,
            ):
                found += database.execute("SELECT count(*) FROM events").fetchone()[0]
        return found

    # -- in Redis

    @property
    def shards(self) -> list[Shard]:
        """Every shard that the present queues may have, reached without a proxy."""
        queues = [
            vwo_celery.connect(destination, redis=self.client, shards=SHARDS)
            for destination in self._destinations()
        ]
        return [shard for queue in queues for shard in producer_of(queue).shards]

    def _destinations(self) -> list[vwo_celery.Destination]:
        generations: tuple[vwo_celery.Generation, ...] = ("legacy", "fme")
        return [
            vwo_celery.Destination(
                account_id=account, sdk_key=KEY, generation=generation, base_url=self.vendor.url,
                query=SPELLINGS[generation] if self.relayed else None,
            )
            for account in self.accounts
            for generation in generations[: 2 if self.relayed else 1]
        ]  # fmt: skip

    @property
    def shard(self) -> Shard:
        """The present queue's first shard, in most rows its only one."""
        return self.shards[0]

    def snapshot(self) -> Snapshot:
        """The snapshot of the present queue, all its shards together."""
        return _together(take_snapshots(self.shards))

    def held(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of the events in Redis: dead, and waiting."""
        shards = self.shards
        rest = [key for shard in shards for key in _batches_in(shard, dead=False)]
        dead = [key for shard in shards for key in _batches_in(shard, dead=True)]
        return self._names_in(dead), self._names_in([*rest, *(s.keys.open for s in shards)])

    def unreadable(self) -> frozenset[str]:
        """Names of the dead letters that VWO's stand-in treats as unreadable."""
        dead = [key for shard in self.shards for key in _batches_in(shard, dead=True)]
        events = map(json.loads, self._events_in(dead))
        return frozenset(event["u"] for event in events if event.get("visitor_ua") == POISON)

    def _names_in(self, keys: list[str]) -> frozenset[str]:
        return frozenset(map(name_of, self._events_in(keys)))

    def _events_in(self, keys: list[str]) -> list[bytes]:
        return [text for key in keys for text in self.client.lrange(key, 0, -1)]

    # -- at VWO

    def asked(self) -> int:
        """Number of requests that VWO got for the present accounts."""
        return sum(self.vendor.asked[str(account)] for account in self.accounts)

    def taken(self) -> dict[str, list[Acceptance]]:
        """The events that VWO has accepted by name, with every acceptance."""
        taken = [self.vendor.taken(str(account)) for account in self.accounts]
        return {name: times for each in taken for name, times in each.items()}

    def misplaced(self) -> frozenset[str]:
        """Names of the events that VWO has accepted under another account than their own."""
        return frozenset(
            name
            for account in self.accounts
            for name in self.vendor.names(str(account))
            if self.account_of.get(name.rpartition("-")[0], account) != account
        )

    def forget(self) -> None:
        """Free the memory used for what VWO has accepted."""
        for account in self.accounts:
            self.vendor.forget(str(account))

    def accepted(self) -> frozenset[str]:
        """Names of the events that VWO has accepted."""
        return frozenset().union(*(self.vendor.names(str(each)) for each in self.accounts))

    def undelivered(self) -> frozenset[str]:
        """Promised events, by the receipts read last, that VWO has not accepted."""
        return frozenset(self.receipts.promised - self.accepted())


def _batches_in(shard: Shard, *, dead: bool) -> list[str]:
    """Keys of a shard's batches: of its dead letters, or of all others."""
    batches = take_snapshot(shard).batches
    return [shard.keys.batch(batch.id) for batch in batches if (batch.state == "dead") is dead]


def _together(shards: Sequence[Snapshot]) -> Snapshot:
    """One snapshot in place of several: numbers added up, times the latest."""
    first, dropped = shards[0], Counter[str]()
    for each in shards:
        dropped.update(each.dropped)
    added = ("open_events", "accepted", "delivered", "refused", "counted_events", "counted_bytes")
    latest = ("held_until_ms", "redis_lost_ms", "forgotten_ms")
    return replace(
        first,
        batches=tuple(batch for each in shards for batch in each.batches),
        dropped=dict(dropped),
        paused=next((each.paused for each in shards if each.paused), ""),
        **{name: sum(getattr(each, name) for each in shards) for name in added},
        **{name: max(getattr(each, name) for each in shards) for name in latest},
    )
