"""Clients for the Redis that holds the queues: one server, Sentinel or Cluster, sync or asyncio.

Owns the connections, and nothing that could be lost. A producer's client retries
nothing: a repeat that the scripts do not know of could store an event twice. It times out early: a web
request waits for it. A worker's client retries for some seconds, see `retries`. Nothing is connected
before the first command.
"""

from __future__ import annotations

# Imported now: else the first connection imports it, under a lock that a fork may leave locked.
import encodings.idna  # noqa: F401
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

import redis
from redis.cluster import ClusterNode
from redis.exceptions import RedisError

from vwo_celery.connections.causes import for_asyncio, never_asking
from vwo_celery.connections.cluster import UNSETTLED, ClusterClient, NodePool, SyncCluster
from vwo_celery.connections.errors import REDIS_ERRORS, WORTH_A_NEW_CONNECTION, is_demoted
from vwo_celery.connections.exchanges import exchange
from vwo_celery.connections.pools import SharedPool
from vwo_celery.connections.retries import Retries, never
from vwo_celery.connections.sentinels import SentinelPool, Sentinels
from vwo_celery.connections.troubles import note_user
from vwo_celery.errors import SettingsError
from vwo_celery.forks import PerProcess
from vwo_celery.settings.redis_url import RedisUrl
from vwo_celery.text.masking import scheme_only

_WORKER_TIMEOUT_SECONDS = 5.0
#: Longest wait for one node of a Cluster whose answer may be missed; longer than a listener's pop waits.
_HINT_TIMEOUT_SECONDS = 2.0
#: Time for a worker's retries, longer than a restart of Redis or a failover with usual settings takes.
WORKER_RETRY_SECONDS = 13.0
#: Share of a client's timeout in which a call waits for a connection that others use.
_SHARE_TO_WAIT = 0.5
#: First major version of redis-py whose Cluster client takes its number of retries from a Retry.
_CLUSTER_TAKES_RETRY = 6
#: Whether this redis-py checks, unless told otherwise, that a certificate is for the host's name.
CHECKS_NAME_BY_ITSELF: bool = (
    signature(redis.SSLConnection).parameters["ssl_check_hostname"].default
)
#: Whether this redis-py takes what CLIENT SETINFO tells as one option.
_TAKES_DRIVER_INFO = "driver_info" in signature(redis.Redis).parameters


def open_worker_client(url: str) -> Any:
    """Open a client for workers, which retries for some seconds, long enough for a restart.

    Workers run only commands that may run twice: settling is idempotent, and a batch whose claim was
    not answered is claimed again when its lease expires.
    """
    return open_client(
        url, timeout_seconds=_WORKER_TIMEOUT_SECONDS, retry_seconds=WORKER_RETRY_SECONDS
    )


def open_hint_client(url: str, worker_client: Any) -> Any:
    """Open a client for what a worker may miss: it retries nothing, and soon gives up on one node.

    Args:
        url: See `vwo_celery.settings.redis_url`.
        worker_client: Made by `open_worker_client`; where there is one server, its connections are
            used.
    """
    if usable_url(url).kind == "cluster":
        return open_client(url, timeout_seconds=_HINT_TIMEOUT_SECONDS)
    return worker_client.without_retries()


def open_client(url: str, *, timeout_seconds: float, retry_seconds: float = 0.0) -> Any:
    """Open a client of *url*; each attempt answers or raises within about twice *timeout_seconds*.

    Nothing is connected yet. The client may be shared between threads and carried over a fork.

    Args:
        url: See `vwo_celery.settings.redis_url`.
        timeout_seconds: Longest wait for a connection, and for one answer.
        retry_seconds: How long to retry after a lost connection; 0 for never.

    Raises:
        SettingsError: The URL cannot be used.
    """
    parsed = usable_url(url)
    if parsed.kind == "cluster":
        retries = Retries(retry_seconds, UNSETTLED)
        nodes = parsed.for_first_server, parsed.addresses[1:]
        options = _options(parsed, timeout_seconds)
        connect = partial(connect_cluster, *nodes, options, timeout_seconds)
        return ClusterClient(connect, retries)
    options = {**_pool_options(parsed, timeout_seconds), "retry": never()}
    if parsed.kind == "sentinel":
        open_pool = partial(_open_sentinel_pool, parsed, options)
    else:
        open_pool = partial(SharedPool.from_url, parsed.for_first_server, **options)
    return Client.of(open_pool, Retries(retry_seconds))


class Client(redis.Redis):
    """A client of one server, or of Sentinel's master, which each new connection asks for.

    It has a pool for each process. Made by `of`.
    """

    retries = Retries(0)
    _pools: PerProcess[Any]

    @classmethod
    def of(cls, open_pool: Callable[[], Any], retries: Retries) -> Any:
        """Make a client of the pools that *open_pool* opens, one in each process."""
        pools = PerProcess(open_pool)
        client = cls(connection_pool=pools.get())
        client.auto_close_connection_pool = True
        client._pools = pools
        client.retries = retries
        return client

    def without_retries(self) -> Any:
        """A client of the same connections that retries nothing."""
        return type(self).of(self._pools.get, Retries(0))

    @property
    def connection_pool(self) -> Any:
        """This process' pool."""
        return self._pools.get()

    @connection_pool.setter
    def connection_pool(self, pool: Any) -> None:
        self._pools = PerProcess(lambda: pool)

    def execute_command(self, *words: Any, **options: Any) -> Any:
        """Run one command."""
        return self.retries.run(lambda: self._execute(words, options))

    def _execute(self, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
        try:
            return super().execute_command(*words, **options)  # type: ignore[no-untyped-call]
        except RedisError as exc:
            self._note(exc)
            raise

    def exchange(self, key: str, packed: bytes, replies: int = 1) -> list[Any]:
        """Send packed commands once, see `exchanges.exchange`; *key* is of use in a Cluster only."""
        answers = exchange(self._pools.get(), packed, replies)
        for answer in answers:
            if isinstance(answer, RedisError):
                self._note(answer)
        return answers

    def _note(self, exc: RedisError) -> None:
        """Follow what an error says about the server."""
        pool = self.connection_pool
        note_user(exc, pool.connection_kwargs)
        if is_demoted(exc):  # the idle connections lead to the same server
            pool.disconnect(inuse_connections=False)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """Open a pipeline; all its commands are sent again where a single one would be."""
        pipe: Any = super().pipeline(transaction, shard_hint)
        if self.retries:
            pipe.execute = partial(self._execute_all, pipe, pipe.execute)
        return pipe

    def _execute_all(
        self, pipe: Any, execute: Callable[[bool], Any], raise_on_error: bool = True
    ) -> Any:
        commands = list(pipe.command_stack)

        def attempt() -> Any:
            pipe.command_stack = list(commands)  # a failed attempt empties it
            try:
                answers = execute(raise_on_error)
            except RedisError as exc:
                note_user(exc, self.connection_pool.connection_kwargs)
                raise
            for each in answers:
                note_user(each, self.connection_pool.connection_kwargs)
            return answers

        return self.retries.run(attempt)


def open_async_client(url: str, *, timeout_seconds: float) -> Any:
    """Open a client for asyncio, see `open_client`; its first event loop is the only one for it."""
    import redis.asyncio as aio
    from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff

    from vwo_celery.connections.async_exchanges import AsyncClient
    from vwo_celery.connections.async_pools import AsyncSentinelPool, AsyncSharedPool

    parsed = usable_url(url)
    errors: Any = WORTH_A_NEW_CONNECTION
    retry = AsyncRetry(NoBackoff(), 0, errors)
    if parsed.kind == "cluster":
        from vwo_celery.connections.async_cluster import AsyncCluster

        options = for_asyncio(_options(parsed, timeout_seconds), AsyncCluster)
        others = [AsyncClusterNode(*each) for each in parsed.addresses[1:]]
        return AsyncCluster.from_url(
            parsed.for_first_server,
            startup_nodes=others or None,
            require_full_coverage=False,
            wait_seconds=_SHARE_TO_WAIT * timeout_seconds,
            **options,
            **_no_cluster_retries(retry, "connection_error_retry_attempts"),
        )
    options = for_asyncio(_pool_options(parsed, timeout_seconds), aio.SSLConnection)
    options["retry"] = retry
    pool: Any
    if parsed.kind == "sentinel":
        pool = AsyncSentinelPool(
            sentinels=_sentinels(parsed, timeout_seconds),
            **_service_options(parsed, options),
        )
    else:
        pool = AsyncSharedPool.from_url(parsed.for_first_server, **options)
    client: Any = AsyncClient(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


def check_async_url(url: str) -> None:
    """Return if clients for asyncio can be opened for *url*; nothing is connected.

    Raises:
        SettingsError: The URL cannot be used, or not with asyncio in this redis-py.
    """
    try:
        client = open_async_client(url, timeout_seconds=_WORKER_TIMEOUT_SECONDS)
        if usable_url(url).kind != "cluster":
            client.connection_pool.make_connection()
    except TypeError:
        raise SettingsError(
            f"redis_url cannot be used: {scheme_only(url)} was given, with an option of TLS that "
            f"asyncio in redis-py {redis.__version__} does not understand; use ssl_ca_certs instead "
            "of ssl_ca_path, and a key without ssl_password"
        ) from None


def _options(url: RedisUrl, timeout_seconds: float) -> dict[str, Any]:
    """Options of each connection to the data."""
    ours = times(timeout_seconds, unix=url.scheme == "unix")
    login = url.login_options
    tls = never_asking(url.tls_options)
    return {**ours, **_greeting(login), **url.client_options, **tls, **login}


def _greeting(login: Mapping[str, Any]) -> dict[str, Any]:
    """Options by which a new connection tells little of its library, since a request waits for it.

    It has to read one answer. Else redis-py meets a refusal (`maxclients`) as an answer to nothing, and
    drops what it says; over TLS 1.3, where the server sends tickets first, that is so for any connection.
    """
    if _TAKES_DRIVER_INFO:
        from redis.driver_info import DriverInfo

        return {"driver_info": None if login else DriverInfo(lib_version=None)}
    return {"lib_version": None, **({"lib_name": None} if login else {})}


def times(timeout_seconds: float, *, unix: bool = False) -> dict[str, Any]:
    """Options of every connection that are ours to choose."""
    options = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "protocol": 2,
    }
    return options if unix else {**options, "socket_keepalive": True}


def share_of(timeout_seconds: float) -> float:
    """Longest wait in a pool for a connection that others use."""
    return _SHARE_TO_WAIT * timeout_seconds


def _pool_options(url: RedisUrl, timeout_seconds: float) -> dict[str, Any]:
    return {**_options(url, timeout_seconds), "wait_seconds": share_of(timeout_seconds)}


def _open_sentinel_pool(url: RedisUrl, options: dict[str, Any]) -> Any:
    sentinels = _sentinels(url, options["socket_timeout"])
    return SentinelPool(sentinel_manager=sentinels, **_service_options(url, options))


def _sentinels(url: RedisUrl, timeout_seconds: float) -> Sentinels:
    # A silent Sentinel must not use up the time of the others.
    seconds = timeout_seconds / len(url.addresses)
    asking = {
        **times(seconds),
        **_greeting(url.sentinel_options),
        **never_asking(url.tls_options),
        **url.sentinel_options,
        "ssl": url.scheme == "rediss",
    }
    return Sentinels(url.addresses, url.service, retry=never(), **asking)


def _service_options(url: RedisUrl, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a pool of connections to the master."""
    tls: dict[str, Any] = {"ssl": True} if url.scheme == "rediss" else {}
    return {"db": url.service_db, **options, **tls, "service_name": url.service}


def connect_cluster(
    first: str,
    others: Sequence[tuple[str, int]],
    options: Mapping[str, Any],
    timeout_seconds: float,
    address_remap: Callable[..., tuple[str, int]] | None = None,
) -> redis.RedisCluster:
    """Connect redis-py's client of a Cluster, which retries nothing.

    Args:
        first: URL of one node, without options.
        others: Host and port of others.
        options: Of each connection.
        timeout_seconds: See `open_client`.
        address_remap: The application's way from a node's address to the one that it is reached at.
    """
    # Given to the pools, since redis-py 5's Cluster client drops those that it does not know, such
    # as the check of the host's name.
    open_pool = partial(NodePool, **{**options, "wait_seconds": share_of(timeout_seconds)})
    try:
        return SyncCluster.from_url(
            first,
            startup_nodes=[ClusterNode(*each) for each in others],  # type: ignore[no-untyped-call]
            require_full_coverage=False,  # the slots of a missing node must not stop the others
            connection_pool_class=open_pool,
            address_remap=address_remap,
            **times(timeout_seconds),
            **_no_cluster_retries(never()),
        )
    except REDIS_ERRORS as exc:
        note_user(exc, options)
        raise


def _no_cluster_retries(retry: Any, *more: str) -> dict[str, Any]:
    """Options that make redis-py's Cluster client retry nothing; it still follows moved slots."""
    if int(redis.__version__.partition(".")[0]) >= _CLUSTER_TAKES_RETRY:
        return {"retry": retry}
    return {"retry": retry, **dict.fromkeys(("cluster_error_retry_attempts", *more), 0)}


def usable_url(url: str) -> RedisUrl:
    """Take a URL apart that redis-py can use; nothing is connected.

    Args:
        url: See `vwo_celery.settings.redis_url`.

    Raises:
        SettingsError: It cannot be used; says why, and of the URL only the scheme.
    """
    parsed = RedisUrl.parse(url)
    problem = parsed.problem()
    if not problem and not _is_understood(parsed):
        problem = f"which redis-py {redis.__version__} does not understand"
    if problem:
        raise SettingsError(f"redis_url cannot be used: {scheme_only(url)} was given, {problem}")
    return parsed


def _is_understood(url: RedisUrl) -> bool:
    """Whether redis-py makes a connection with these options; it opens none."""
    options = {**url.client_options, **url.tls_options, **url.login_options}
    try:
        redis.ConnectionPool.from_url(url.for_first_server, **options).make_connection()
    except (ValueError, TypeError, RedisError):
        return False
    return True
