"""The scripts compared with a model, over long random lives of one shard.

After every step all of Redis must equal the model, every event must be in one place, and the ledger
must balance; at the end of every life everything that is left can be delivered.
"""

from __future__ import annotations

import redis as redis_py

from lua.lives import live, lives_of_a_model

LIVES = 100


def test_the_scripts_do_what_the_model_says(redis: redis_py.Redis) -> None:
    """Redis and the model stay equal, whatever happens to a shard in whatever order."""
    live(redis, lives_of_a_model(LIVES))

    redis.flushdb()
