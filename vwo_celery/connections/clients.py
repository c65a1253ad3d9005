"""Clients for the Redis that holds the queues: one server, Sentinel or Cluster, sync or asyncio.

Place: an edge; owns the connection. Clients made here never repeat a command by themselves, since a
repeat that the scripts do not know of could store an event twice, and they time out early, since a
web request waits for them; a worker's client is patient instead (see patience). Nothing is connected
before the first command.

URLs: redis:// and rediss://HOST:PORT/DB, unix://PATH, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB,
redis+cluster://HOST:PORT,HOST:PORT (rediss+… for TLS). A password in the URL is that of the servers;
that of the Sentinels, where they have one, is its sentinel_password.
"""

from __future__ import annotations

# Python would import it at the first connection, under a lock that a fork at that moment leaves locked.
import encodings.idna  # noqa: F401
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

import redis
from redis.cluster import ClusterNode
from redis.exceptions import RedisError

from vwo_celery.connections.cluster import MOST_REDIRECTIONS, UNSETTLED, ClusterClient, SyncCluster
from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION, is_demoted
from vwo_celery.connections.retries import Patience, never
from vwo_celery.errors import SettingsError
from vwo_celery.forks import PerProcess
from vwo_celery.settings.redis_url import url_problem
from vwo_celery.text.masking import scheme_only


class ProcessClient(redis.Redis):
    """A client with a pool for each process; made by `of`."""

    _pools: PerProcess[Any]

    @classmethod
    def of(cls, open_pool: Callable[[], Any]) -> Any:
        """A client of the pools that *open_pool* opens, one in each process."""
        pools = PerProcess(open_pool)
        client = cls(connection_pool=pools.get())
        client.auto_close_connection_pool = True
        client._pools = pools
        return client

    @property
    def connection_pool(self) -> Any:
        """This process' pool."""
        return self._pools.get()

    @connection_pool.setter
    def connection_pool(self, pool: Any) -> None:
        self._pools = PerProcess(lambda: pool)


_DEFAULT_PORT = 6379
_DEFAULT_SENTINEL_PORT = 26379
_WORKER_TIMEOUT_SECONDS = 5.0
#: Longer than a restart of Redis takes, and than a failover with usual settings.
WORKER_PATIENCE_SECONDS = 13.0
#: From this version of redis-py on, a Cluster's client is told by a Retry how often to repeat.
_CLUSTER_TAKES_RETRY = 6


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
    return open_client(
        url, timeout_seconds=_WORKER_TIMEOUT_SECONDS, patience_seconds=WORKER_PATIENCE_SECONDS
    )


def open_client(url: str, *, timeout_seconds: float, patience_seconds: float = 0.0) -> Any:
    """A client for *url* that answers or raises within about twice *timeout_seconds*.

    Nothing is connected yet. The client is safe to share between threads and to carry over a fork.

    Args:
        url: See the module's text.
        timeout_seconds: Longest wait for a connection, and for one answer.
        patience_seconds: How long to repeat what failed for lack of a connection; 0 for never.

    Raises:
        SettingsError: The URL cannot be used.
    """
    check_url(url)
    kind, plain = _split_kind(url)
    if kind == "cluster":
        patience = Patience(patience_seconds, UNSETTLED)
        return ClusterClient(partial(_connect_cluster, plain, timeout_seconds), patience)
    options = {**_options(timeout_seconds), "retry": never()}
    if kind == "sentinel":
        client = _Client.of(partial(_open_sentinel_pool, url, options, timeout_seconds))
    else:
        options = _without_keepalive(plain, options)
        client = _Client.of(partial(redis.ConnectionPool.from_url, plain, **options))
    client.patience = Patience(patience_seconds)
    return client


class _Client(ProcessClient):
    """One server, or the one that Sentinel calls the master; a new one is found by a new connection."""

    patience = Patience(0)

    def execute_command(self, *words: Any, **options: Any) -> Any:
        """Run one command."""
        return self.patience.run(lambda: self._execute(words, options))

    def _execute(self, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
        try:
            return super().execute_command(*words, **options)  # type: ignore[no-untyped-call]
        except RedisError as exc:
            if is_demoted(exc):  # and so are all the connections that wait for their turn
                self.connection_pool.disconnect(inuse_connections=False)
            raise

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """Commands sent together, and together again."""
        pipe: Any = super().pipeline(transaction, shard_hint)
        if self.patience:
            pipe.execute = partial(self._execute_all, pipe, pipe.execute)
        return pipe

    def _execute_all(
        self, pipe: Any, execute: Callable[[bool], Any], raise_on_error: bool = True
    ) -> Any:
        commands = list(pipe.command_stack)

        def attempt() -> Any:
            pipe.command_stack = list(commands)  # an attempt that fails leaves none
            return execute(raise_on_error)

        return self.patience.run(attempt)


def open_async_client(url: str, *, timeout_seconds: float) -> Any:
    """As `open_client`, for asyncio; belongs to the event loop it is first used in."""
    import redis.asyncio as aio
    from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff

    check_url(url)
    errors: Any = WORTH_A_NEW_CONNECTION
    retry = AsyncRetry(NoBackoff(), 0, errors)
    options = _options(timeout_seconds)
    kind, plain = _split_kind(url)
    if kind == "cluster":
        first, others = _cluster_nodes(plain)
        cluster: Any = aio.RedisCluster.from_url(
            first,
            startup_nodes=[AsyncClusterNode(*node, **options) for node in others] or None,
            require_full_coverage=False,
            **options,
            **_no_cluster_retries(retry, "connection_error_retry_attempts"),
        )
        cluster.RedisClusterRequestTTL = MOST_REDIRECTIONS
        return cluster
    if kind == "sentinel":
        sentinel = _sentinel(url, aio.Sentinel, {**options, "retry": retry}, timeout_seconds)
        return sentinel.master_for(sentinel_address(url).service)
    return aio.Redis.from_url(plain, retry=retry, **_without_keepalive(plain, options))


def sentinel_address(url: str) -> SentinelAddress:
    """Sentinels, service and database of redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB."""
    parts = urlsplit(url)
    service, _, db = parts.path.strip("/").partition("/")
    hosts = _hosts(parts, _DEFAULT_SENTINEL_PORT)
    return SentinelAddress(hosts, service or "mymaster", int(db or 0))


def _options(timeout_seconds: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "socket_keepalive": True,
        "protocol": 2,
    }


def _without_keepalive(plain: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options that a Unix socket has, too, where it is one."""
    unix = plain.startswith("unix:")
    return {name: of for name, of in options.items() if not (unix and name == "socket_keepalive")}


def _hosts(parts: SplitResult, default_port: int) -> list[tuple[str, int]]:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    return [(host.partition(":")[0], int(host.partition(":")[2] or default_port)) for host in hosts]


def _open_sentinel_pool(url: str, options: dict[str, Any], timeout_seconds: float) -> Any:
    sentinel = _sentinel(url, redis.Sentinel, options, timeout_seconds)
    return sentinel.master_for(sentinel_address(url).service).connection_pool


def _sentinel(url: str, kind: Any, options: dict[str, Any], timeout_seconds: float) -> Any:
    """A Sentinel client of *kind*, which opens connections with *options*."""
    address, parts = sentinel_address(url), urlsplit(url)
    security: dict[str, Any] = {"ssl": True} if parts.scheme.startswith("rediss") else {}
    # One that is silent must not use up the time of the others.
    asking = {**options, **_options(timeout_seconds / len(address.sentinels)), **security}
    asking |= {
        name.removeprefix("sentinel_"): value
        for name, value in parse_qsl(parts.query)
        if name in ("sentinel_username", "sentinel_password")
    }
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if password:
        security |= {"username": unquote(user) or None, "password": unquote(password)}
    return kind(address.sentinels, sentinel_kwargs=asking, **options, **security, db=address.db)


def _connect_cluster(plain: str, timeout_seconds: float) -> redis.RedisCluster:
    first, others = _cluster_nodes(plain)
    return SyncCluster.from_url(
        first,
        startup_nodes=[ClusterNode(*node) for node in others],  # type: ignore[no-untyped-call]
        require_full_coverage=False,  # a part that is away must not take the others with it
        **_options(timeout_seconds),
        **_no_cluster_retries(never()),
    )


def _cluster_nodes(plain: str) -> tuple[str, list[tuple[str, int]]]:
    """The URL of the first node that *plain* names, and the addresses of the others."""
    parts = urlsplit(plain)
    user, at, hosts = parts.netloc.rpartition("@")
    first = parts._replace(netloc=user + at + hosts.partition(",")[0])
    return urlunsplit(first), _hosts(parts, _DEFAULT_PORT)[1:]


def _no_cluster_retries(retry: Any, *more: str) -> dict[str, Any]:
    """Options by which a Cluster's client repeats nothing by itself; what was moved, it follows."""
    if int(redis.__version__.partition(".")[0]) >= _CLUSTER_TAKES_RETRY:
        return {"retry": retry}
    return {"retry": retry, **dict.fromkeys(("cluster_error_retry_attempts", *more), 0)}


def _split_kind(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    return kind, base + separator + rest


def check_url(url: str) -> None:
    """Do nothing if redis-py can use *url*; nothing is connected.

    Args:
        url: As `connections` takes it.

    Raises:
        SettingsError: It cannot; says what is wrong, and nothing of what was given but the scheme.
    """
    problem = url_problem(url)
    if not problem and not _options_are_readable(url):
        problem = "but an option after its ? is unknown or has a wrong value"
    if problem:
        raise SettingsError(f"redis_url cannot be used: {scheme_only(url)} was given, {problem}")


def _options_are_readable(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if kind == "sentinel":
        return True  # of its options we take those we know
    before, comma, after = rest.partition(",")
    one = before + re.sub(r"^[^/?]*", "", after) if comma and kind else rest
    try:
        redis.ConnectionPool.from_url(f"{base}://{one}").make_connection()
    except (ValueError, TypeError, RedisError):
        return False
    return True
