"""One script for many shards, in few round trips.

Beneath the sweep. An error of one shard is that shard's answer, and harms no other; in a Cluster also
that of a node that is away. Answers are taken in parts, so that their size is bounded. If the process
dies here, each call has run as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ClusterError, NoScriptError, RedisClusterException, RedisError

from vwo_celery.connections.cluster import is_cluster_client
from vwo_celery.queue.scripts import Script, load

#: Most calls in one round trip.
_CALLS = 250
#: Errors after which a call has not run, and may be repeated alone: it follows its slot, and loads
#: the script.
_NOT_RUN = (NoScriptError, ClusterError, RedisClusterException)


class Call(NamedTuple):
    """One call of a script: its keys, which lie in one slot of a Cluster, and its arguments."""

    keys: Sequence[str]
    arguments: Sequence[Any]


def run_all(client: Any, script: Script, calls: Sequence[Call]) -> Iterator[Any]:
    """Run a script for each of *calls*; its answers in their order, an error being one of them.

    Raises:
        redis.exceptions.RedisError: The server did not answer; of a Cluster, no node did.
    """
    for start in range(0, len(calls), _CALLS):
        part = calls[start : start + _CALLS]
        answers = _send(client, script, part)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            load(client, script.text)
            _send_again(client, script, part, answers)
        for call, answer in zip(part, answers, strict=True):
            yield _repeat(client, script, call) if isinstance(answer, _NOT_RUN) else answer


def _send_again(client: Any, script: Script, calls: Sequence[Call], answers: list[Any]) -> None:
    """Send those calls again, in place of their answers, for which the script was missing."""
    missing = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    found = _send(client, script, [calls[number] for number in missing])
    for number, answer in zip(missing, found, strict=True):
        answers[number] = answer


def _repeat(client: Any, script: Script, call: Call) -> Any:
    try:
        return script.run(client, call.keys, call.arguments)
    except (RedisError, RedisClusterException) as exc:
        return exc


def _send(client: Any, script: Script, calls: Sequence[Call]) -> list[Any]:
    if not is_cluster_client(client):
        return _send_to(client, script, calls)
    answers: dict[int, Any] = {}
    nodes = _by_node(getattr(client, "cluster", client), calls, answers)
    failures = []
    for node, numbers in nodes:
        try:
            found = _send_to(node, script, [calls[number] for number in numbers])
        except RedisError as exc:
            failures.append(exc)
            found = [exc] * len(numbers)
        answers.update(zip(numbers, found, strict=True))
    if failures and len(failures) == len(nodes):
        raise failures[0]
    return [answers[number] for number in range(len(calls))]


def _by_node(
    cluster: Any, calls: Sequence[Call], answers: dict[int, Any]
) -> list[tuple[Any, list[int]]]:
    """The numbers of the calls for each node; a slot that no node serves is an answer."""
    nodes: dict[str, tuple[Any, list[int]]] = {}
    for number, call in enumerate(calls):
        try:
            node = cluster.get_node_from_key(call.keys[0])
        except (RedisError, RedisClusterException) as exc:
            answers[number] = exc
            continue
        client = nodes.setdefault(node.name, (cluster.get_redis_connection(node), []))
        client[1].append(number)
    return list(nodes.values())


def _send_to(client: Any, script: Script, calls: Sequence[Call]) -> list[Any]:
    pipe = client.pipeline(transaction=False)
    for call in calls:
        pipe.execute_command(*script.command(call.keys, call.arguments))
    found: list[Any] = pipe.execute(raise_on_error=False)
    return found
