"""A Redis Cluster that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.redis_groups import ClusterGroup, client_of


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
