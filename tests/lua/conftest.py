"""Fixtures of the tests of single scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from lua.world import World


@pytest.fixture
def world(redis: redis_py.Redis) -> Iterator[World]:
    """An empty database with one shard; cleared once `changes` has seen every key."""
    world = World(redis)
    yield world
    world.clear()
