"""Commands for many shards in few round trips: one script for each, or all that a registration needs.

Beneath the sweep and a producer's registration. An error of one shard is that shard's answer, and harms
no other; in a Cluster also that of a node that is away. Answers are taken in parts, so that their size
is bounded. If the process dies here, each call has run as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from redis.exceptions import (
    AskError,
    NoPermissionError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)

from vwo_celery.clocks import monotonic
from vwo_celery.connections.cluster import is_cluster_client
from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION, is_demoted
from vwo_celery.connections.troubles import is_denied, note_user
from vwo_celery.queue.scripts import Script, load

#: Most calls in one round trip.
_CALLS = 250
#: Errors after which a call has not run, and is repeated alone: it follows its slot (MOVED is an
#: AskError), and loads the script. Not CLUSTERDOWN: nobody holds the slot, and redis-py would sleep
#: for a quarter of a second and ask for the nodes again, for each call.
_NOT_RUN = (NoScriptError, AskError, TryAgainError, RedisClusterException)
#: Seconds after which a user who may not load scripts is tried again; Redis logs each denial.
_DENIED_SECONDS = 60.0


class LoadDenied(NoPermissionError):
    """The server does not know the script, and the user may not load it."""


#: Of each client whose user may not load scripts, the time until which that is believed, and the error.
_denied_until: WeakKeyDictionary[Any, tuple[float, LoadDenied]] = WeakKeyDictionary()


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
        answers = send_each(client, _commands(script, part))
        lacking = any(isinstance(answer, NoScriptError) for answer in answers)
        denied = _load(client, script) if lacking else None
        if lacking and denied is None:
            _send_again(client, script, part, answers)
        for call, answer in zip(part, answers, strict=True):
            if denied is not None and isinstance(answer, NoScriptError):
                yield denied
            else:
                yield _repeat(client, script, call) if isinstance(answer, _NOT_RUN) else answer


def _load(client: Any, script: Script) -> LoadDenied | None:
    """Load a script; the error if the user may not: it is the answer of the calls that need it."""
    until, denied = _denied_until.get(client, (0.0, None))
    if monotonic() < until:
        return denied
    try:
        load(client, script.text)
    except RedisError as exc:
        if not is_denied(exc):
            raise
        denied = LoadDenied(*exc.args)
        vars(denied).update(vars(exc))
        _denied_until[client] = (monotonic() + _DENIED_SECONDS, denied)
        return denied
    return None


def _send_again(client: Any, script: Script, calls: Sequence[Call], answers: list[Any]) -> None:
    """Send those calls again, in place of their answers, for which the script was missing."""
    missing = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    found = send_each(client, _commands(script, [calls[number] for number in missing]))
    for number, answer in zip(missing, found, strict=True):
        answers[number] = answer


def _repeat(client: Any, script: Script, call: Call) -> Any:
    try:
        return script.run(client, call.keys, call.arguments)
    except (RedisError, RedisClusterException) as exc:
        return exc


def _commands(script: Script, calls: Sequence[Call]) -> list[Command]:
    return [Command(each.keys[0], script.command(each.keys, each.arguments)) for each in calls]


class Command(NamedTuple):
    """One command, and the key by which a Cluster finds its node."""

    key: str
    words: tuple[Any, ...]


def send_all(client: Any, commands: Sequence[Command], scripts: Sequence[Script]) -> list[Any]:
    """Send commands, which may run twice, in one round trip; in a Cluster, in one for each node.

    Args:
        client: Any client of the queue.
        commands: The commands, in the order in which a server runs them.
        scripts: Scripts that each server is given before.

    Returns:
        The answers in their order, an error being one of them.

    Raises:
        redis.exceptions.RedisError: The server did not answer; of a Cluster, no node did.
    """
    answers = _send(client, commands, scripts)
    for numbers in _same_error(answers, WORTH_A_NEW_CONNECTION).values():
        # The slots may have gone to another node, as after a failover: redis-py asks where they are
        # when a single command fails, and not when a pipeline does.
        if not isinstance(_send_alone(client, commands[numbers[0]]), WORTH_A_NEW_CONNECTION):
            found = _send(client, [commands[number] for number in numbers], scripts)
            for number, answer in zip(numbers, found, strict=True):
                answers[number] = answer
    for number, answer in enumerate(answers):
        if isinstance(answer, _NOT_RUN):
            answers[number] = _send_alone(client, commands[number])
            if isinstance(answers[number], NoScriptError):
                load(client, *(each.text for each in scripts))
                answers[number] = _send_alone(client, commands[number])
    if answers and all(isinstance(answer, WORTH_A_NEW_CONNECTION) for answer in answers):
        raise answers[0]
    return answers


def _same_error(answers: Sequence[Any], kinds: tuple[type[Exception], ...]) -> dict[int, list[int]]:
    """The numbers of the answers that are one and the same error: all those of one node."""
    found: dict[int, list[int]] = {}
    for number, answer in enumerate(answers):
        if isinstance(answer, kinds):
            found.setdefault(id(answer), []).append(number)
    return found


def _send_alone(client: Any, command: Command) -> Any:
    try:
        return client.execute_command(*command.words)
    except (RedisError, RedisClusterException) as exc:
        return exc


def send_each(client: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands to their nodes; raise if none of them answers."""
    answers = _send(client, commands)
    if answers and all(isinstance(answer, WORTH_A_NEW_CONNECTION) for answer in answers):
        raise answers[0]
    return answers


def send_once(client: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands as they are; an error of one is its answer, also that of a node that is away.

    Raises:
        redis.exceptions.RedisError: The one server did not answer, however often it was tried.
    """
    return _send(client, commands)


def _send(client: Any, commands: Sequence[Command], scripts: Sequence[Script] = ()) -> list[Any]:
    """Send commands; what a node of a Cluster that is away should have answered is its error."""
    if not is_cluster_client(client):
        return _send_to(client, commands, scripts)
    answers: dict[int, Any] = {}
    for node, numbers in _by_node(getattr(client, "cluster", client), commands, answers):
        try:
            found = _send_to(node, [commands[number] for number in numbers], scripts)
        except RedisError as exc:
            found = [exc] * len(numbers)
        answers.update(zip(numbers, found, strict=True))
    return [answers[number] for number in range(len(commands))]


def _by_node(
    cluster: Any, commands: Sequence[Command], answers: dict[int, Any]
) -> list[tuple[Any, list[int]]]:
    """The numbers of the commands for each node; a slot that no node serves is an answer."""
    nodes: dict[str, tuple[Any, list[int]]] = {}
    for number, command in enumerate(commands):
        try:
            node = cluster.get_node_from_key(command.key)
        except (RedisError, RedisClusterException) as exc:
            answers[number] = exc
            continue
        client = nodes.setdefault(node.name, (cluster.get_redis_connection(node), []))
        client[1].append(number)
    return list(nodes.values())


def _send_to(client: Any, commands: Sequence[Command], scripts: Sequence[Script]) -> list[Any]:
    pipe = client.pipeline(transaction=False)
    for script in scripts:
        pipe.script_load(script.text)
    for command in commands:
        pipe.execute_command(*command.words)
    found: list[Any] = pipe.execute(raise_on_error=False)[len(scripts) :]
    for answer in found:
        note_user(answer, client.connection_pool.connection_kwargs)
    if any(isinstance(answer, Exception) and is_demoted(answer) for answer in found):
        client.connection_pool.disconnect(inuse_connections=False)  # they lead to the same server
    return found
