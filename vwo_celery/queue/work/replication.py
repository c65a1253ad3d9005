"""Waiting until replicas have a push, if `wait_replicas` asks for it.

Stage 1 of an event's way. Redis replicates after it has answered, so a master that dies can take
confirmed events with it. WAIT covers only what its own connection has sent; hence it follows the
push on the same connection, in the same round trip. A push that too few replicas confirm stays
stored on the master, and its receipt says so. If the process dies here, the push is stored or not
as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import AskError, ResponseError, TryAgainError

from vwo_celery.connections.cluster import ClusterClient
from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION, is_demoted
from vwo_celery.logs import seldom
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.answers import Pushed
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.marks import Mark
from vwo_celery.settings import Settings

#: Share of the socket timeout that WAIT may use. The rest covers the network, so a silent replica
#: is not mistaken for a silent Redis.
_SHARE_OF_AN_ANSWER = 0.5


class Replicas(NamedTuple):
    """Number of replicas that a push waits for, and the longest wait."""

    number: int
    timeout_ms: int

    def push(self, shard: Shard, mark: Mark, command: tuple[Any, ...]) -> Pushed:
        """Send a push and wait for its replicas.

        Args:
            shard: The shard that is pushed to.
            mark: The mark of the push.
            command: The command made by `Shard.push_command`.

        Returns:
            The answer; `replicated` tells whether enough replicas have it.

        Raises:
            redis.exceptions.RedisError: As redis-py raises it.
        """
        # Needed since a repeated push writes nothing, and Redis 7.2 and later wait only for writes.
        write = ("PEXPIRE", shard.keys.mark(mark.id), as_ms(mark.ttl_seconds))
        wait = ("WAIT", self.number, self.timeout_ms)
        try:
            answer, _, confirmed = _send_together(shard, (command, write, wait))
        except (AskError, TryAgainError):  # MOVED is a kind of AskError; the push has not run
            # The slot is being moved. redis-py follows it on a connection that is unknown here.
            answer = shard.client.execute_command(*command)
            return Pushed(*answer)._replace(replicated=False)
        replicated = isinstance(confirmed, int) and confirmed >= self.number
        return Pushed(*answer)._replace(replicated=replicated)


def replicas_of(settings: Settings, *, answer_seconds: float) -> Replicas | None:
    """The replicas that pushes wait for; None for none.

    Args:
        settings: A producer's settings.
        answer_seconds: Time for which the producer's client waits for one answer.
    """
    if not settings.wait_replicas:
        return None
    return Replicas(settings.wait_replicas, max(1, as_ms(_SHARE_OF_AN_ANSWER * answer_seconds)))


def warn_of_lag(queue: str, number: int, so_far: int) -> None:
    """Warn now and then that too few replicas confirmed events, *so_far* of them in this process."""
    seldom.warn(
        f"not_replicated {queue}",
        "events of queue %s are in Redis, but fewer than %d replicas confirmed them in time "
        "(wait_replicas; %d so far): they are lost if this master is lost now; see whether its "
        "replicas keep up",
        queue, number, so_far,
    )  # fmt: skip


def _send_together(shard: Shard, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands one after another on one connection; answers may be errors.

    Raises:
        redis.exceptions.ResponseError: The first command was refused.
        redis.exceptions.RedisError: An answer is missing.
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
