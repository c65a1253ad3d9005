"""Permissions: may this Redis user run every command that we need, on our keys and channels?

Beside an event's way; asked by a worker when it starts, and by the doctor. Each command is tried on
scratch keys of the namespace, plainly and in a script, since Redis checks a user's rights in both.
The scratch keys are removed again. If the process dies here, one of them may stay; the next try
removes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple
from uuid import uuid4

from redis.exceptions import NoPermissionError, ResponseError

from vwo_celery.connections import unavailable
from vwo_celery.connections.cluster import ClusterClient
from vwo_celery.connections.troubles import is_denied
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.scripts import names, script
from vwo_celery.queue.words.keys import as_text

#: Scripts that an application runs: to register, to enqueue, to make room, to flush; and a relay, to
#: keep settings and to tell of itself.
PRODUCER_SCRIPTS: Final = (
    "append", "awaited", "enqueue", "flush", "gate", "limit", "make_room", "note", "recall", "register",
    "relay", "remember", "report", "shadow", "sweep",
)  # fmt: skip
#: Commands that an application sends itself, beside its scripts.
PRODUCER_COMMANDS: Final = (
    "EVAL", "EVALSHA", "EXEC", "EXISTS", "HGET", "HGETALL", "HMGET", "HSET", "HSETNX", "LLEN", "LPUSH",
    "LPUSHX", "LTRIM", "MULTI", "PEXPIRE", "PING", "RENAMENX", "SADD", "SCRIPT LOAD", "SUBSCRIBE", "TIME",
    "UNSUBSCRIBE", "WAIT", "ZCARD", "ZMSCORE", "ZRANGE", "ZRANGEBYSCORE",
)  # fmt: skip
#: Commands that only workers and operators send themselves.
WORKER_COMMANDS: Final = (
    "BRPOP", "HINCRBY", "HLEN", "HSCAN", "INFO", "LRANGE", "PUBLISH", "SMEMBERS", "SREM", "TYPE",
    "UNLINK", "XADD", "XRANGE", "ZADD", "ZCOUNT", "ZREM", "ZREMRANGEBYSCORE",
)  # fmt: skip
#: Further commands with which workers, and all who look, find what lies on the parts of a Cluster.
PARTS_COMMANDS: Final = ("CLUSTER NODES", "SCAN")
#: Commands without which all works: what they tell is then not known. So managed servers, and
#: users without `@dangerous`, may deny them.
OPTIONAL_COMMANDS: Final = ("INFO", "TYPE")
#: A try of each command, which changes nothing but the scratch keys K and O; C is a channel.
_TRIES: Final = {
    "BRPOP": "BRPOP K 0.01", "CLUSTER NODES": "CLUSTER NODES", "COPY": "COPY K O", "DEL": "DEL K",
    "EVAL": "EVAL return 0",
    "EVALSHA": f"EVALSHA {'0' * 40} 0", "EXISTS": "EXISTS K", "GET": "GET K", "HDEL": "HDEL K f",
    "HEXISTS": "HEXISTS K f", "HGET": "HGET K f", "HGETALL": "HGETALL K",
    "HINCRBY": "HINCRBY K f no", "HLEN": "HLEN K", "HMGET": "HMGET K f", "HSCAN": "HSCAN K 0",
    "HSET": "HSET K f v more", "HSETNX": "HSETNX K f v", "INFO": "INFO memory", "LLEN": "LLEN K",
    "LPOP": "LPOP K",
    "LPUSH": "LPUSH K v", "LPUSHX": "LPUSHX K v", "LRANGE": "LRANGE K 0 0", "LTRIM": "LTRIM K 0 0",
    "PEXPIRE": "PEXPIRE K 1", "PING": "PING", "PUBLISH": "PUBLISH C v", "RENAME": "RENAME K K",
    "RENAMENX": "RENAMENX K O",
    "RPOP": "RPOP K", "RPUSH": "RPUSH K v", "SADD": "SADD K v", "SCAN": "SCAN 0 COUNT 1",
    "SCRIPT LOAD": "SCRIPT LOAD return",
    "SET": "SET K v XX", "SMEMBERS": "SMEMBERS K", "SREM": "SREM K v", "TIME": "TIME", "TYPE": "TYPE K",
    "UNLINK": "UNLINK K O", "WAIT": "WAIT 0 1", "XADD": "XADD K NOMKSTREAM * f v",
    "XRANGE": "XRANGE K - +", "ZADD": "ZADD K XX 0 v", "ZCARD": "ZCARD K",
    "ZCOUNT": "ZCOUNT K 0 0", "ZMSCORE": "ZMSCORE K v", "ZRANGE": "ZRANGE K 0 0",
    "ZRANGEBYSCORE": "ZRANGEBYSCORE K 0 0", "ZREM": "ZREM K v", "ZSCAN": "ZSCAN K 0",
    "ZREMRANGEBYSCORE": "ZREMRANGEBYSCORE K 0 0", "ZSCORE": "ZSCORE K v",
}  # fmt: skip
#: Commands that are tried one after the other on a connection of their own.
_TRANSACTION: Final = ("MULTI", "EXEC")
_SUBSCRIPTION: Final = ("SUBSCRIBE", "UNSUBSCRIBE")
#: Longest wait for the answer to a subscription.
_ANSWER_SECONDS: Final = 1.0
_OF_A_COMMAND: Final = re.compile(r"\brun (the '([\w|]+)|this command)")
_IN_SCRIPT: Final = "return redis.pcall(unpack(ARGV))"


class Missing(NamedTuple):
    """The rights that a Redis user lacks.

    Attributes:
        user: The user's name.
        namespace: First part of every key and channel.
        commands: Commands that it may not run, sorted.
        keys: Whether it may not use the namespace's keys.
        channels: Whether it may not use the namespace's channels.
    """

    user: str
    namespace: str
    commands: tuple[str, ...]
    keys: bool
    channels: bool

    def __bool__(self) -> bool:
        return bool(self.commands or self.keys or self.channels)

    @property
    def remedy(self) -> str:
        """The command that gives the user these rights."""
        patterns = [f"~{self.namespace}:*"] * self.keys + [f"&{self.namespace}:*"] * self.channels
        return " ".join(["ACL SETUSER", self.user, *patterns, *map(_rule, self.commands)])

    def __str__(self) -> str:
        what = [f"run {', '.join(self.commands)}"] if self.commands else []
        what += [f"use keys {self.namespace}:*"] * self.keys
        what += [f"use channels {self.namespace}:*"] * self.channels
        return f"Redis user {self.user!r} may not {', nor '.join(what)}"


def producer_needs() -> frozenset[str]:
    """Every command that an application needs."""
    return _commands_of(PRODUCER_SCRIPTS) | set(PRODUCER_COMMANDS)


def worker_needs(*, cluster: bool = False) -> frozenset[str]:
    """Every command that a worker or an operator needs; an application needs no others.

    Args:
        cluster: Whether Redis is a Cluster.
    """
    of_parts = PARTS_COMMANDS if cluster else ()
    return _commands_of(names()) | {*PRODUCER_COMMANDS, *WORKER_COMMANDS, *of_parts}


def acl_rules(namespace: str, commands: Collection[str]) -> str:
    """Rules of ACL SETUSER that let a user run *commands* on the namespace, and nothing else."""
    patterns = (f"~{namespace}:*", "resetchannels", f"&{namespace}:*")
    return " ".join([*patterns, *map(_rule, sorted(commands))])


def missing(fleet: Fleet, commands: Collection[str]) -> Missing:
    """Try *commands*; the rights that the user of this connection lacks.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("test of permissions"):
        return _Trial(fleet).run(commands)


def worker_lacks(fleet: Fleet) -> Missing:
    """Try all that a worker needs; the rights that the user of this connection lacks.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable("test of permissions"):
        return missing(fleet, worker_needs(cluster=fleet.in_cluster))


class _Trial:
    """One test of a user's rights."""

    def __init__(self, fleet: Fleet) -> None:
        stem = f"{fleet.keys.prefix}{{try}}:{uuid4().hex[:12]}"
        self._words = {"K": f"{stem}:1", "O": f"{stem}:2", "C": fleet.keys.results("try")}
        client = fleet.client
        in_cluster = isinstance(client, ClusterClient)
        self._client = client.node_of(self._words["K"]) if in_cluster else client
        self._namespace = fleet.namespace
        self._denied: set[str] = set()
        self._keys = self._channels = False

    def run(self, commands: Collection[str]) -> Missing:
        needed = set(commands).difference(OPTIONAL_COMMANDS)
        for command in needed.difference(_TRANSACTION, _SUBSCRIPTION):
            self._try({command}, self._client.execute_command, *self._try_of(command))
        if "EVAL" not in self._denied:
            for command in _commands_of(names()) & needed:
                self._try({command}, self._in_script, *self._try_of(command))
        self._transact()
        self._listen()
        self._try((), self._client.execute_command, "UNLINK", self._words["K"], self._words["O"])
        denied = tuple(sorted(self._denied))
        return Missing(self._user(), self._namespace, denied, self._keys, self._channels)

    def _try_of(self, command: str) -> list[str]:
        return [self._words.get(word, word) for word in _TRIES[command].split()]

    def _try(self, commands: Collection[str], call: Callable[..., Any], *words: str) -> None:
        try:
            call(*words)
        except ResponseError as exc:
            text = str(exc)
            if not isinstance(exc, NoPermissionError) and not is_denied(text):
                return  # an error of another kind: the command may be run
            # The names are told only outside scripts; the command that failed may be another.
            if of_a_command := _OF_A_COMMAND.search(text):
                told = (of_a_command[2] or "").upper().partition("|")[0]
                self._denied |= {
                    each for each in commands if each.split()[0] == (told or each.split()[0])
                }
            elif "channel" in text:
                self._channels = True
            else:
                self._keys = True

    def _in_script(self, *words: str) -> None:
        keys = (self._words["K"], self._words["O"])
        self._client.execute_command("EVAL", _IN_SCRIPT, len(keys), *keys, *words)

    def _transact(self) -> None:
        with self._client.client() as single:  # on one connection
            try:
                for word in _TRANSACTION:
                    self._try({word}, single.execute_command, word)
            finally:
                single.connection.disconnect()

    def _listen(self) -> None:
        subscription = self._client.pubsub()
        try:
            for word, send in zip(
                _SUBSCRIPTION, (subscription.subscribe, subscription.unsubscribe), strict=True
            ):
                send(self._words["C"])
                self._try({word}, lambda: subscription.get_message(timeout=_ANSWER_SECONDS))
        finally:
            subscription.close()

    def _user(self) -> str:
        try:
            return as_text(self._client.execute_command("ACL WHOAMI"))
        except ResponseError:  # denied as well
            return str(self._client.connection_pool.connection_kwargs.get("username") or "default")


def _commands_of(scripts: Collection[str]) -> frozenset[str]:
    return frozenset(command for name in scripts for command in script(name).commands)


def _rule(command: str) -> str:
    return "+" + command.lower().replace(" ", "|")
