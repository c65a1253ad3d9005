"""Redis in each form that `redis_url` can name, with the proxies of its users."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis as redis_py

from tools.redis_groups import ClusterGroup, SentinelGroup
from tools.tcpproxy import TcpProxy
from vwo_celery.connections import open_client
from vwo_celery.testing import RedisServer

_TIMEOUT_SECONDS = 5.0
#: Durable with Redis' default fsync; a replica may still lack the newest writes.
_DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec")


class Store:
    """A store that runs while it is used as a context.
    Attributes:
        applications_url: URL for applications.
        worker_url: URL for the worker and beat.
        client: Our own client, which no fault affects.
    """

    applications_url: str
    worker_url: str
    client: Any

    def __init__(self) -> None:
        self.stack = ExitStack()

    def __enter__(self) -> Store:
        try:
            self.open()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def open(self) -> None:
        """Start it, each part on `stack`, and set the attributes."""
        raise NotImplementedError


class SingleStore(Store):
    """One Redis with its AOF; applications and the worker each reach it through a proxy.

    Each command is on disk before it is answered. With `everysec` Redis answers first while an
    fsync runs, so that on a slow disk a kill loses what it acknowledged.
    """

    def __init__(self, _: Path) -> None:
        super().__init__()
        self.server = RedisServer(appendonly=True)

    def open(self) -> None:
        """Start server and proxies."""
        self.stack.enter_context(self.server)
        self.application_line = self.stack.enter_context(TcpProxy(self.server.port))
        self.worker_line = self.stack.enter_context(TcpProxy(self.server.port))
        self.applications_url, self.worker_url = self.application_line.url(), self.worker_line.url()
        self.client = self.stack.enter_context(redis_py.Redis.from_url(self.server.url))


class SentinelStore(Store):
    """A master, two replicas and three Sentinels."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.group = SentinelGroup(folder, *_DURABLE)

    def open(self) -> None:
        """Start the group."""
        self.stack.enter_context(self.group)
        self.applications_url = self.worker_url = self.group.url
        self.client = open_client(self.group.url, timeout_seconds=_TIMEOUT_SECONDS)

    def fail_over(self) -> None:
        """Kill the master, and wait until a replica takes its place."""
        self.group.lose_master()

    def switch_over(self) -> None:
        """Let the Sentinels replace the master, which stays alive."""
        self.group.switch_over()


class ClusterStore(Store):
    """A Redis Cluster of three masters."""

    def __init__(self, _: Path) -> None:
        super().__init__()
        self.group = ClusterGroup(3, 0, *_DURABLE, "--cluster-require-full-coverage", "no")

    def open(self) -> None:
        """Start the group."""
        self.stack.enter_context(self.group)
        self.applications_url = self.worker_url = self.group.url
        self.client = open_client(self.group.url, timeout_seconds=_TIMEOUT_SECONDS)

    def grow(self, key: str, hold: Callable[[], None]) -> None:
        """Let a node join, and move the slot of *key* to it; *hold* is called while Redis answers ASK."""
        slot = self.group.slot_of(key)
        source, target = self.group.owner_of(slot), self.group.grow()
        self.group.begin_move(slot, source, target)
        self.group.move_keys(slot, source, target)
        hold()
        self.group.end_move(slot, source, target)

    def master_without(self, key: str, others: Iterable[str]) -> RedisServer:
        """A master that holds one of *others*, and not *key*."""
        owner = self.group.owner_of(self.group.slot_of(key))
        holders = [self.group.owner_of(self.group.slot_of(other)) for other in others]
        return next(node for node in holders if node is not owner)

    def move(self, key: str) -> None:
        """Move the slot of *key* to another master while it is in use."""
        slot = self.group.slot_of(key)
        source = self.group.owner_of(slot)
        target = next(node for node in self.group.masters if node is not source)
        self.group.begin_move(slot, source, target)
        self.group.move_keys(slot, source, target)
        self.group.end_move(slot, source, target)


STORES: dict[str, type[SingleStore] | type[SentinelStore] | type[ClusterStore]] = {
    "single": SingleStore,
    "sentinel": SentinelStore,
    "cluster": ClusterStore,
}
