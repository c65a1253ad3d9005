"""Roles: the rights that each kind of Redis user needs, as rules of ACL SETUSER.

Beside an event's way; made from what the scripts and this package send, never typed. Pure: nothing to
lose. A viewer's rules hold no command that changes anything: Redis asks for that also inside scripts, and
a viewer cannot give Redis a script of its own.
"""

from __future__ import annotations

from typing import Final

import msgspec

from vwo_celery.queue.servers.permissions import (
    PARTS_COMMANDS,
    acl_rules,
    producer_needs,
    worker_needs,
)

#: Command with which a worker, as it starts, tells the user who lacks a right.
WORKER_COMMANDS: Final = frozenset({"ACL WHOAMI"})
#: Commands with which an operator's command looks, beside those of a worker.
OPERATOR_COMMANDS: Final = WORKER_COMMANDS | {"CONFIG GET"}
#: Commands of somebody who only looks.
VIEWER_COMMANDS: Final = frozenset({
    "EVALSHA", "EXEC", "EXISTS", "GET", "HEXISTS", "HGET", "HGETALL", "HLEN", "HMGET", "HSCAN", "INFO",
    "LLEN", "LRANGE", "MULTI", "PING", "SMEMBERS", "TIME", "TYPE", "XRANGE", "XREVRANGE", "ZCARD",
    "ZCOUNT", "ZMSCORE", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZSCAN", "ZSCORE",
})  # fmt: skip
#: Further commands of every client of a Cluster.
_CLUSTER_COMMANDS: Final = frozenset({"ASKING", "CLUSTER SLOTS", "COMMAND"})
#: Roles, and what each is for.
ROLES: Final = {
    "producer": "an application, which enqueues",
    "worker": "a worker, which delivers",
    "operator": "a person, or a program, that looks and changes",
    "viewer": "a person, or a program, that only looks",
}


class Server(msgspec.Struct, frozen=True):
    """What the rules depend on.

    Attributes:
        cluster: Whether it is a Redis Cluster.
        database: Whether a database other than 0 is used.
    """

    cluster: bool = False
    database: bool = False


#: One server, and its database 0.
PLAIN_SERVER: Final = Server()


def commands_of(role: str, server: Server = PLAIN_SERVER) -> frozenset[str]:
    """Return every command that a user of this role needs."""
    of_workers = worker_needs(cluster=server.cluster)
    needs = {
        "producer": producer_needs(),
        "worker": of_workers | WORKER_COMMANDS,
        "operator": of_workers | OPERATOR_COMMANDS,
        "viewer": VIEWER_COMMANDS.union(PARTS_COMMANDS if server.cluster else ()),
    }[role]
    more = {
        *(_CLUSTER_COMMANDS if server.cluster else ()),
        *(["SELECT"] if server.database else []),
    }
    return needs | more


def rules_of(role: str, namespace: str, server: Server = PLAIN_SERVER) -> str:
    """Return the rules of a user of this role, without its password.

    They take away what the user had before. A viewer hears no channel.
    """
    rules = acl_rules(namespace, commands_of(role, server))
    if role == "viewer":
        rules = rules.replace(f" &{namespace}:*", "")
    return f"reset on {rules}"
