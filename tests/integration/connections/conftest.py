"""Servers that the tests of a file share: a Redis Cluster, and a Redis with users of chosen rights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.redis_groups import ClusterGroup, client_of
from tools.redis_users import Users
from vwo_celery.testing import RedisServer


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterGroup]:
    """Three masters, shared by all tests of a file that do not kill them."""
    with ClusterGroup(3) as running:
        yield running


@pytest.fixture
def group(cluster: ClusterGroup) -> ClusterGroup:
    """The shared cluster, emptied."""
    for node in cluster.masters:
        with client_of(node) as client:
            client.flushall()
            client.config_resetstat()
    return cluster


@pytest.fixture(scope="module")
def server_of_users() -> Iterator[RedisServer]:
    """A server of its own, since users are the server's."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def users(server_of_users: RedisServer) -> Iterator[Users]:
    """Its users."""
    made = Users(server_of_users)
    yield made
    made.admin.close()
