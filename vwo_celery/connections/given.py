"""A client that the application passes: where it leads is taken from it, and nothing else.

Beneath the clients; nothing to lose. How long a call waits, whether it repeats, and how answers are
read is promised to the application and decided here, so each such client gets a twin with connections
of its own; the application's is not changed. What cannot have a twin is refused at `connect`, before
a request meets it.
"""

from __future__ import annotations

import ssl
import weakref
from functools import partial
from typing import Any, Final

import redis
from redis.client import Pipeline
from redis.cluster import ClusterPipeline
from redis.sentinel import Sentinel, SentinelConnectionPool

from vwo_celery.connections.clients import Client, connect_cluster, share_of, times
from vwo_celery.connections.cluster import ClusterClient
from vwo_celery.connections.pools import MOST_CONNECTIONS, SharedPool
from vwo_celery.connections.retries import Retries, never
from vwo_celery.connections.sentinels import SentinelPool, Sentinels
from vwo_celery.errors import SettingsError

#: Options of redis-py that belong to one pool, or that are ours to choose.
_NOT_TAKEN: Final = (
    "retry_on_error", "retry_on_timeout", "encoding", "encoding_errors", "decode_responses",
    "parser_class", "driver_info", "lib_name", "lib_version", "legacy_responses", "connection_pool",
    "himport_registry", "event_dispatcher", "cache", "cache_config",
)  # fmt: skip
_PREFIXES_NOT_TAKEN: Final = ("maint_notifications", "oss_cluster_maint", "orig_")
#: Options of a Cluster client that say who it is and whom it trusts.
_OF_A_CLUSTER: Final = ("username", "password", "credential_provider", "client_name")
_REMEDY: Final = "pass a redis.Redis or redis.RedisCluster, or name the server with redis_url="

#: The twins of each client, by the timeout.
_twins: weakref.WeakKeyDictionary[Any, dict[float, Any]] = weakref.WeakKeyDictionary()


def twin_of(client: Any, *, timeout_seconds: float) -> Any:
    """A client with our timeouts that leads where *client* does; the same one at each call.

    Args:
        client: redis-py's, or one that `clients` opened, which is returned as it is.
        timeout_seconds: Longest wait for a connection, and for one answer.

    Raises:
        SettingsError: It is no client for this, or one that leads to a replica.
    """
    if isinstance(client, (Client, ClusterClient)):
        return client
    refuse_unusable(client)
    try:
        twins = _twins.setdefault(client, {})
        twin = twins.get(timeout_seconds)
        if twin is None:
            is_cluster = isinstance(client, redis.RedisCluster)
            make = _twin_of_cluster if is_cluster else _twin_of_server
            twin = twins.setdefault(timeout_seconds, make(client, timeout_seconds))
    except Exception as exc:  # its text may quote a password
        raise SettingsError(
            f"redis leads nowhere that can be read: {_kind(client)} was given, and reading it raised "
            f"{type(exc).__name__}; {_REMEDY}"
        ) from exc
    return twin


def refuse_unusable(client: Any) -> None:
    """Raise for what is no client of the kind that `connect` takes, with the remedy.

    Raises:
        SettingsError: Its message quotes nothing of *client*: a URL may hold a password.
    """
    kind = _kind(client)
    if isinstance(client, (str, bytes)):
        raise SettingsError("redis must be a client, and a text was given: pass it as redis_url=")
    if any(each.__module__.startswith("redis.asyncio") for each in type(client).__mro__):
        raise SettingsError(
            f"redis must be a client for threads, and {kind} was given: for asyncio use "
            "vwo_celery.aio.connect with redis_url=, which opens clients of its own"
        )
    if isinstance(client, (Pipeline, ClusterPipeline)):
        raise SettingsError(
            f"redis must be a client, and {kind} was given, which only collects commands: pass the "
            "client that it was made of"
        )
    if isinstance(client, Sentinel):
        raise SettingsError(
            f"redis must be a client, and {kind} was given: pass what its master_for returns"
        )
    if not isinstance(client, (redis.Redis, redis.RedisCluster)):
        raise SettingsError(f"redis must be a client of redis-py, and {kind} was given: {_REMEDY}")
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, SentinelConnectionPool) and not pool.is_master:
        raise SettingsError(
            "redis must lead to the master, and a client from slave_for was given: pass one from "
            "master_for"
        )


def _kind(client: Any) -> str:
    return f"{type(client).__module__}.{type(client).__qualname__}"


def _twin_of_server(client: Any, timeout_seconds: float) -> Any:
    pool = client.connection_pool
    options = {
        "connection_class": pool.connection_class,
        "max_connections": min(pool.max_connections, MOST_CONNECTIONS),
        **_checked(pool.connection_class, _taken(pool.connection_kwargs)),
        **times(timeout_seconds, unix="path" in pool.connection_kwargs),
        "wait_seconds": share_of(timeout_seconds),
        "retry": never(),
    }
    if isinstance(pool, SentinelConnectionPool):
        open_pool = partial(_open_sentinel_pool, pool, options)
    else:
        open_pool = partial(SharedPool, **options)
    return Client.of(open_pool, Retries(0))


def _open_sentinel_pool(pool: Any, options: dict[str, Any]) -> Any:
    known = [each.connection_pool for each in pool.sentinel_manager.sentinels]
    kind = known[0].connection_class
    addresses = [
        (each.connection_kwargs["host"], int(each.connection_kwargs["port"])) for each in known
    ]
    asking = {
        name: value
        for name, value in _checked(kind, _taken(known[0].connection_kwargs)).items()
        if name in _OF_A_CLUSTER or name.startswith("ssl_")
    }
    sentinels = Sentinels(
        addresses, pool.service_name, retry=never(),
        ssl=issubclass(kind, redis.SSLConnection), **asking,
        **times(options["socket_timeout"] / len(addresses)),
    )  # fmt: skip
    return SentinelPool(sentinel_manager=sentinels, service_name=pool.service_name, **options)


def _twin_of_cluster(client: Any, timeout_seconds: float) -> Any:
    nodes = [(each.host, each.port) for each in client.nodes_manager.startup_nodes.values()]
    given = client.nodes_manager.connection_kwargs
    has_tls = bool(given.get("ssl")) or given.get("connection_class") is redis.SSLConnection
    options = {
        name: value
        for name, value in given.items()
        if name in _OF_A_CLUSTER or (has_tls and name.startswith("ssl_"))
    }
    if has_tls:
        options = _checked(redis.SSLConnection, options)
    host, port = nodes[0]
    first = f"{'rediss' if has_tls else 'redis'}://{f'[{host}]' if ':' in host else host}:{port}"
    options |= times(timeout_seconds)
    connect = partial(connect_cluster, first, nodes[1:], options, timeout_seconds,
                      address_remap=client.nodes_manager.address_remap)  # fmt: skip
    return ClusterClient(connect, Retries(0))


def _taken(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in options.items()
        if name not in _NOT_TAKEN and not name.startswith(_PREFIXES_NOT_TAKEN)
    }


def _checked(connection_class: type, options: dict[str, Any]) -> dict[str, Any]:
    """Check the host's name where the client says nothing of it; redis-py 5 would not."""
    if not issubclass(connection_class, redis.SSLConnection):
        return options
    checks = options.get("ssl_cert_reqs", "required") in ("required", ssl.CERT_REQUIRED)
    return {"ssl_check_hostname": checks, **options}
