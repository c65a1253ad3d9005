"""docs/reference/redis-keys.md agrees with vwo_celery/queue/words/keys.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from vwo_celery.queue.words.keys import (
    FLEET_FAMILIES,
    RELAY_FAMILIES,
    SHARD_FAMILIES,
    KeyFamily,
    copy_keys,
    fleet_keys,
    shard_keys,
    split_shard_name,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "redis-keys.md"


@pytest.mark.parametrize(
    "families", [SHARD_FAMILIES, FLEET_FAMILIES, RELAY_FAMILIES], ids=["shard", "fleet", "relay"]
)
def test_the_page_lists_every_key(families: tuple[KeyFamily, ...]) -> None:
    """The page lists each key family with its type and meaning, in the code's order."""
    rows = "\n".join(f"| `{each.pattern}` | {each.type} | {each.holds} |" for each in families)

    assert rows in PAGE.read_text("utf-8")


def test_keys_of_a_shard_share_a_hash_tag() -> None:
    """All keys of one shard fall into one slot of Redis Cluster."""
    keys = shard_keys("vwo", "fme-1-abc", 2)

    names = [keys.open, keys.meta, keys.ready, keys.leases, keys.info, keys.slots, keys.dead]
    for name in [*names, keys.batch("b"), keys.mark("m")]:
        assert name.startswith("vwo:1:{fme-1-abc:2}:")


def test_the_copies_of_an_account_and_key_share_a_hash_tag() -> None:
    """A copy of settings and the task to fetch it fall into one slot of Redis Cluster."""
    assert copy_keys("vwo", "7-abc", "def") == (
        "vwo:1:settings:{7-abc}",
        "vwo:1:refresh:{7-abc}:def",
    )


def test_names_of_shards_can_be_read_back() -> None:
    """A shard's short name holds its queue and its number."""
    assert split_shard_name(shard_keys("vwo", "fme-1-abc", 2).name) == ("fme-1-abc", 2)


def test_the_fleet_has_keys_of_its_own() -> None:
    """Keys shared by all queues have no hash tag and begin with namespace and version."""
    keys = fleet_keys("shop")

    assert keys.wakeups == "shop:1:wakeups"
    assert keys.results("fme-1-abc") == "shop:1:results:fme-1-abc"
