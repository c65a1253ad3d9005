"""Waiting until replicas have a push as well, where `wait_replicas` asks for it.

Place: an edge beside the store; stage 1 of an event's way. Redis replicates after it has answered, so
that a master which dies can take acknowledged events with it. WAIT speaks for what its own connection
has sent, hence it follows the push on the same one, in the same round trip. A push that too few
replicas confirm is stored on the master all the same, and is not taken back; the receipt says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
from redis.exceptions import AskError, ResponseError, TryAgainError

from vwo_celery.connections.cluster import ClusterClient
from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION, is_demoted
from vwo_celery.errors import SettingsError
from vwo_celery.queue.batches import as_ms
from vwo_celery.queue.marks import Mark
from vwo_celery.queue.shard import Pushed, Shard
from vwo_celery.settings import Settings

#: Of the time for one answer; the rest is for the way, so that a replica that is silent is never taken
#: for a Redis that is.
_SHARE_OF_AN_ANSWER = 0.5


class Replicas(NamedTuple):
    """How many replicas a push waits for, and how long at most."""

    number: int
    timeout_ms: int

    def push(self, shard: Shard, mark: Mark, command: tuple[Any, ...]) -> Pushed:
        """Send a push, and wait for its replicas.

        Args:
            shard: What is pushed to.
            mark: What it is pushed under.
            command: Made by `Shard.push_command`.

        Returns:
            The answer; `replicated` tells whether enough replicas have it.

        Raises:
            redis.exceptions.RedisError: As it comes.
        """
        # A repeat writes nothing, and from 7.2 on Redis waits only for what its connection wrote.
        write = ("PEXPIRE", shard.keys.mark(mark.id), as_ms(mark.ttl_seconds))
        wait = ("WAIT", self.number, self.timeout_ms)
        try:
            answer, _, confirmed = _send_together(shard, (command, write, wait))
        except (AskError, TryAgainError):  # MOVED is a kind of the former; it has not run
            # Its slot is on the move. redis-py follows it, by a connection that we cannot tell.
            answer = shard.client.execute_command(*command)
            return Pushed(*answer)._replace(replicated=False)
        replicated = isinstance(confirmed, int) and confirmed >= self.number
        return Pushed(*answer)._replace(replicated=replicated)


def replicas_of(settings: Settings, client: Any, *, answer_seconds: float) -> Replicas | None:
    """What pushes have to wait for; None for nothing.

    Args:
        settings: A producer's.
        client: Its Redis client.
        answer_seconds: How long the client waits for one answer.

    Raises:
        SettingsError: The client cannot tell for what it waits.
    """
    if not settings.wait_replicas:
        return None
    if isinstance(client, redis.RedisCluster):
        raise SettingsError(
            "wait_replicas cannot be used with a Redis Cluster client of your own: the waiting must be "
            "on the connection of the push, which it does not tell; give redis_url instead"
        )
    return Replicas(settings.wait_replicas, max(1, as_ms(_SHARE_OF_AN_ANSWER * answer_seconds)))


def _send_together(shard: Shard, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands one after the other on one connection; their answers, some of them errors.

    Raises:
        redis.exceptions.ResponseError: The first was refused.
        redis.exceptions.RedisError: There is an answer missing.
    """
    client = shard.client
    in_cluster = isinstance(client, ClusterClient)
    node = client.node_of(shard.keys.meta) if in_cluster else client
    pipe = node.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    try:
        answers: list[Any] = pipe.execute(raise_on_error=False)
    except WORTH_A_NEW_CONNECTION:
        if in_cluster:
            client.forget()  # another node may serve the shard by now
        raise
    if isinstance(answers[0], ResponseError):
        if is_demoted(answers[0]):
            node.connection_pool.disconnect(inuse_connections=False)
        raise answers[0]
    return answers
