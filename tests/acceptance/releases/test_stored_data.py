"""What one release stored is read and delivered by the other one, in either order, in every state."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.two_releases import Fleet, assert_balanced, keep_listening, name_of, now_ms
from upgrade import releases
from upgrade.releases import Release, Stored

#: Fields of a future release.
LATER_FIELDS = {"later_count": "7", "later:by_name": "x", "dropped_later_ms": "1"}

pytestmark = pytest.mark.declared_keys("*")


def comparable(told: dict[str, Any]) -> dict[str, Any]:
    """A release's output about a Redis in comparable form: sorted, without the release's name.

    To 0.1.0 a batch that waits after a failed attempt is ready again once it is due; since 0.2.0 it is
    released until it is claimed. So these two states are one here.
    """
    facts = deepcopy({name: fact for name, fact in told.items() if name != "version"})
    facts["ledger"].sort(key=lambda each: each["queue"])
    for each in facts["ledger"]:
        each["pending"] += each.pop("released")
    for batch in (batch for shard in facts["shards"].values() for batch in shard["batches"]):
        batch["state"] = batch["state"].replace("released", "ready")
    return facts


def without_bytes(told: dict[str, Any]) -> dict[str, Any]:
    """The same, but for the bytes that shards hold."""
    facts = comparable(told)
    for shard in facts["shards"].values():
        del shard["counted_bytes"]
    return facts


def as_this_release_tells(told: dict[str, Any]) -> dict[str, Any]:
    """What an earlier release told, in this one's words: released is also what is due again."""
    ledgers = {each["queue"]: dict(each) for each in told["ledger"]}
    shards = {name: {**shard} for name, shard in told["shards"].items()}
    for name, shard in shards.items():
        shard["batches"] = [dict(batch) for batch in shard["batches"]]
        for batch in shard["batches"]:
            if batch["state"] == "ready" and batch["attempt"] and batch["error"]:
                batch["state"] = "released"
                ledger = ledgers[name.rpartition(":")[0]]
                ledger["pending"] -= batch["events"]
                ledger["released"] += batch["events"]
    return {**told, "ledger": list(ledgers.values()), "shards": shards}


@pytest.mark.parametrize("path", releases.STORED, ids=lambda path: path.stem)
@pytest.mark.parametrize("fields", [{}, LATER_FIELDS], ids=["as it was", "and later fields"])
def test_this_release_sees_what_earlier_ones_stored(
    redis: redis_py.Redis, redis_url: str, this: Release, tmp_path: Path, path: Path, fields: Any
) -> None:
    """States, counts, errors, pauses, limits and the ledger are those that the earlier release
    reported.

    Fields that this release does not know change nothing.
    """
    stored = Stored.load(path).at(now_ms(redis))
    stored.with_fields(fields).write(redis)
    keep_listening(redis)

    told = this.told(cwd=tmp_path, redis_url=redis_url)

    assert comparable(told) == comparable(as_this_release_tells(stored.told))
    assert all(each["balanced"] for each in told["ledger"])


def test_the_release_before_sees_what_this_one_stores(
    redis: redis_py.Redis, redis_url: str, before: Release, stored_by_this: Stored, tmp_path: Path
) -> None:
    """After a rollback the release before reads everything: it ignores new fields and keys.

    Events that append.lua stored since the last push are to it as those of another program: it counts
    them, though not their bytes.
    """
    stored = stored_by_this.at(now_ms(redis))
    stored.write(redis)
    keep_listening(redis)

    told = before.told(cwd=tmp_path, redis_url=redis_url)

    assert without_bytes(told) == without_bytes(stored.told)


@pytest.mark.parametrize("path", releases.STORED, ids=lambda path: path.stem)
def test_this_release_delivers_what_earlier_ones_stored(
    fleet: Fleet, redis: redis_py.Redis, before: Release, this: Release, path: Path
) -> None:
    """Each event of an earlier release is delivered once, whatever its state, also with the old beat."""
    _deliver_all(fleet, redis, Stored.load(path), by=this, beside=before)


def test_the_release_before_delivers_what_this_one_stores(
    fleet: Fleet, redis: redis_py.Redis, before: Release, this: Release, stored_by_this: Stored
) -> None:
    """After a rollback every event is delivered once, also with this release's beat still running."""
    _deliver_all(fleet, redis, stored_by_this, by=before, beside=this)


def _deliver_all(
    fleet: Fleet, redis: redis_py.Redis, stored: Stored, *, by: Release, beside: Release
) -> None:
    stored = stored.bound_for(fleet.standin.url).at(now_ms(redis) - 3_600_000)
    stored.write(redis)

    fleet.beat(beside)
    fleet.worker(by, "worker")
    fleet.command(by, "resume", "--all")
    fleet.command(by, "dead", "redrive")

    fleet.wait_for_all()
    assert fleet.names() == Counter(map(name_of, stored.events))
    assert_balanced(fleet, by, beside)
