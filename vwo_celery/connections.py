"""Clients for the Redis that holds the queues: one server, Sentinel or Cluster, sync or asyncio.

Place: an edge; owns the connection. Clients made here never repeat a command by themselves, since a
repeat that the scripts do not know of could store an event twice, and they time out early, since a
web request waits for them. What may be repeated is decided where its meaning is known.

URLs: redis:// and rediss://HOST:PORT/DB, unix://PATH, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB,
redis+cluster://HOST:PORT (rediss+… for TLS).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit, urlunsplit

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from vwo_celery.errors import QueueUnavailable

_DEFAULT_SENTINEL_PORT = 26379
_WORKER_TIMEOUT_SECONDS = 5.0
_WORKER_RETRIES = 10
_SHORTEST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


class SentinelAddress(NamedTuple):
    """What a redis+sentinel URL says."""

    sentinels: list[tuple[str, int]]
    service: str
    db: int


def open_worker_client(url: str) -> Any:
    """A client for workers: it repeats what failed for some seconds, long enough for a restart.

    Workers run only what may be run twice: settling is idempotent, and a claim whose answer was lost
    is claimed again when its lease runs out.
    """
    retry = Retry(
        ExponentialBackoff(cap=_LONGEST_PAUSE_SECONDS, base=_SHORTEST_PAUSE_SECONDS),
        _WORKER_RETRIES,
    )
    return open_client(url, timeout_seconds=_WORKER_TIMEOUT_SECONDS, retry=retry)


def open_client(url: str, *, timeout_seconds: float, retry: Retry | None = None) -> Any:
    """A client for *url* that answers or raises within about twice *timeout_seconds*.

    Nothing is connected yet. The client is safe to share between threads and to carry over a fork.

    Args:
        url: See the module's text.
        timeout_seconds: Longest wait for a connection, and for one answer.
        retry: When to repeat a command; None for never.
    """
    options = _options(timeout_seconds)
    if retry is not None:
        options["retry"] = retry
    kind, plain = _split_kind(url)
    if kind == "cluster":
        return redis.RedisCluster.from_url(plain, **_cluster_options(timeout_seconds))
    if kind == "sentinel":
        address, security = sentinel_address(url), _sentinel_security(plain)
        sentinel: Any = redis.Sentinel(  # type: ignore[no-untyped-call]
            address.sentinels, sentinel_kwargs=options, **options, **security, db=address.db
        )
        return sentinel.master_for(address.service)
    return redis.Redis.from_url(plain, **{"retry": Retry(NoBackoff(), 0), **options})


def open_async_client(url: str, *, timeout_seconds: float) -> Any:
    """As `open_client`, for asyncio; belongs to the event loop it is first used in."""
    import redis.asyncio as aio
    from redis.asyncio.retry import Retry as AsyncRetry

    options = _options(timeout_seconds)
    kind, plain = _split_kind(url)
    if kind == "cluster":
        return aio.RedisCluster.from_url(plain, **_cluster_options(timeout_seconds))
    if kind == "sentinel":
        address, security = sentinel_address(url), _sentinel_security(plain)
        sentinel: Any = aio.Sentinel(  # type: ignore[no-untyped-call]
            address.sentinels, sentinel_kwargs=options, **options, **security, db=address.db
        )
        return sentinel.master_for(address.service)
    return aio.Redis.from_url(plain, retry=AsyncRetry(NoBackoff(), 0), **options)


def sentinel_address(url: str) -> SentinelAddress:
    """Sentinels, service and database of redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    sentinels = [
        (host.partition(":")[0], int(host.partition(":")[2] or _DEFAULT_SENTINEL_PORT))
        for host in hosts
    ]
    service, _, db = parts.path.strip("/").partition("/")
    return SentinelAddress(sentinels, service or "mymaster", int(db or 0))


def mask_url(url: str) -> str:
    """*url* without its password and without its query, which may hold one."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if at:
        user = user.partition(":")[0] + ":…"
    return urlunsplit(SplitResult(parts.scheme, user + at + host, parts.path, "", ""))


@contextmanager
def unavailable(doing: str) -> Iterator[None]:
    """Turn whatever the Redis client raises into QueueUnavailable, saying what was tried."""
    try:
        yield
    except (RedisError, RedisClusterException) as exc:  # the latter is no RedisError
        raise QueueUnavailable(f"{doing}: Redis answered {type(exc).__name__}: {exc}") from exc


def _options(timeout_seconds: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "socket_keepalive": True,
        "protocol": 2,
    }


def _cluster_options(timeout_seconds: float) -> dict[str, Any]:
    return {**_options(timeout_seconds), "cluster_error_retry_attempts": 1}


def _split_kind(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    return kind, base + separator + rest


def _sentinel_security(plain: str) -> dict[str, Any]:
    parts = urlsplit(plain.replace(",", "-"))
    security: dict[str, Any] = {"ssl": True} if parts.scheme == "rediss" else {}
    if parts.password:
        security |= {"username": parts.username or None, "password": parts.password}
    return security
