"""The scripts of this release beside those of 0.1.0, over long random lives of one shard."""

from __future__ import annotations

import redis as redis_py

from lua.lives import live_mixed, lives_of_a_model

LIVES = 60


def test_both_releases_change_one_shard(redis: redis_py.Redis) -> None:
    """Nothing is lost or doubled and the ledger is exact, whichever release's script comes next."""
    live_mixed(redis, lives_of_a_model(LIVES))

    redis.flushdb()
