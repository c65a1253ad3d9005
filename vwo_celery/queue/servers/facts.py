"""Facts that a Redis server tells about itself: how safe events are in it.

Beside an event's way; read by the doctor and the demo. Changes nothing: nothing to lose.
Nearly all facts come from INFO, since managed servers often refuse CONFIG.
"""

from __future__ import annotations

from typing import Any

import msgspec
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from vwo_celery.connections import unavailable
from vwo_celery.connections.cluster import ClusterClient


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one server.

    Attributes:
        name: "HOST:PORT" of a Cluster's node, "" for a single server.
        product: "Redis" or "Valkey".
        version: Version of Redis that it is compatible with, such as (7, 0, 15).
        role: "master" or "slave".
        cluster: Whether it is part of a Redis Cluster.
        sentinel: Whether it is a Sentinel, which holds no data.
        used_bytes: Memory in use.
        limit_bytes: Its `maxmemory`, 0 for none.
        machine_bytes: Memory of the machine, 0 if unknown.
        policy: Its `maxmemory-policy`.
        append_only: Whether it keeps an append-only file.
        append_ok: Whether the last write to that file succeeded.
        fsync: Its `appendfsync`, "" if unknown.
        snapshots: Whether it takes RDB snapshots by itself; None if unknown.
        snapshot_ok: Whether the last snapshot succeeded.
        unsaved_changes: Number of changes since the last snapshot.
        config_refused: Whether it refused CONFIG.
        info_refused: Whether it refused INFO to this user, so that nothing else is known of it.
    """

    name: str
    product: str
    version: tuple[int, ...]
    role: str
    cluster: bool
    used_bytes: int
    limit_bytes: int
    machine_bytes: int
    policy: str
    append_only: bool
    append_ok: bool
    fsync: str
    snapshots: bool | None
    snapshot_ok: bool
    unsaved_changes: int
    config_refused: bool
    info_refused: bool = False
    sentinel: bool = False

    @property
    def takes_writes(self) -> bool:
        """Whether nothing of this shows that it refuses events; a test write tells for sure."""
        is_full = 0 < self.limit_bytes <= self.used_bytes and self.policy == "noeviction"
        refuses_for_disk = self.append_only and not self.append_ok
        return self.role == "master" and not is_full and not refuses_for_disk

    @property
    def label(self) -> str:
        """Product, version and, where there are several servers, address."""
        version = ".".join(map(str, self.version)) or "of a version that is not told"
        return f"{self.product} {version}" + (f" at {self.name}" if self.name else "")


def read_servers(client: Any, *, ask_config: bool = True) -> list[ServerFacts]:
    """Read the facts of the server behind *client*, or of each primary of a Cluster that answers.

    Args:
        client: The client.
        ask_config: Whether to ask for settings, too, which few users may.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("INFO"):
        if not isinstance(client, ClusterClient):
            return [_read("", client, ask_config)]
        facts, failure = [], None
        for name, node in client.masters():
            try:
                facts.append(_read(name, node, ask_config))
            except RedisError as exc:
                failure = exc
        if failure is not None and not facts:
            raise failure
        return facts


def _read(name: str, client: Any, ask_config: bool) -> ServerFacts:
    try:
        info = client.info()
    except NoPermissionError:
        client.ping()
        return msgspec.structs.replace(_facts(name, {}, None), version=(), info_refused=True)
    return _facts(name, info, _config(client) if ask_config else None)


def is_cluster(client: Any) -> bool:
    """Whether the server behind *client* is part of a Redis Cluster; False if its user may not ask.

    Raises:
        redis.exceptions.RedisError: As redis-py raises it.
    """
    try:
        return bool(client.info("cluster").get("cluster_enabled"))
    except NoPermissionError:
        return False


def _config(client: Any) -> dict[str, str] | None:
    """Settings that INFO does not tell; None if the server refuses CONFIG."""
    try:
        found = {**client.config_get("save"), **client.config_get("appendfsync")}
    except ResponseError:
        return None
    return {str(name): str(value) for name, value in found.items()}


def _facts(name: str, info: dict[str, Any], config: dict[str, str] | None) -> ServerFacts:
    # Valkey's redis_version is that of the Redis whose commands it knows.
    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    return ServerFacts(
        name=name,
        product="Valkey" if "valkey_version" in info else "Redis",
        version=tuple(int(part) for part in version.split(".") if part.isdigit()),
        role=str(info.get("role", "master")),
        cluster=bool(info.get("cluster_enabled", 0)),
        used_bytes=int(info.get("used_memory", 0)),
        limit_bytes=int(info.get("maxmemory", 0)),
        machine_bytes=int(info.get("total_system_memory", 0)),
        policy=str(info.get("maxmemory_policy", "")),
        append_only=bool(info.get("aof_enabled", 0)),
        append_ok=info.get("aof_last_write_status", "ok") == "ok",
        fsync="" if config is None else config.get("appendfsync", ""),
        snapshots=None if config is None else bool(config.get("save", "")),
        snapshot_ok=info.get("rdb_last_bgsave_status", "ok") == "ok",
        unsaved_changes=int(info.get("rdb_changes_since_last_save", 0)),
        config_refused=config is None,
        sentinel=info.get("redis_mode") == "sentinel",
    )
