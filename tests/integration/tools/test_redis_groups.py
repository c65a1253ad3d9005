"""Groups of Redis servers come up though other tests start servers at the same time."""

from __future__ import annotations

import socket

import pytest

from tools import redis_groups
from tools.redis_groups import ClusterGroup, cluster_port
from vwo_celery.testing import waiting


def test_no_other_server_gets_the_port_of_a_bus() -> None:
    """A node listens on two ports; only the lower one is chosen, so nobody may choose the other."""
    bus = cluster_port() + 10_000

    assert bus not in waiting._PORTS
    assert bus < 32_768  # Linux' first ephemeral port


def test_a_node_whose_port_was_taken_starts_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is quicker keeps the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", cluster_port()))
        taken.listen()
        ports = [taken.getsockname()[1], cluster_port()]
        monkeypatch.setattr(redis_groups, "cluster_port", lambda: ports.pop(0))

        with ClusterGroup(1) as cluster:
            assert ports == []
            assert cluster.nodes[0].port != taken.getsockname()[1]
