"""On a Redis Cluster, too, the line that `vwo-celery acl` prints is all that a role needs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tools.clusters import connect_to
from tools.command_line import run_command
from tools.redis_groups import ClusterGroup, client_of
from vwo_celery.connections import open_worker_client
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.servers.permissions import missing, worker_needs

#: Commands that look at every part of a Cluster.
LOOKS = ("status", "queues", "ledger", "health")


class Roles:
    """The nodes of a Cluster, and a user of each role on them, made by the line that is printed."""

    def __init__(self, group: ClusterGroup, stack: ExitStack) -> None:
        self.url = group.url
        self._admins: list[Any] = [stack.enter_context(client_of(node)) for node in group.masters]

    def begin(self, role: str, *more: str) -> str:
        """The URL of a user of this role, with more rules; nothing was denied to anyone yet."""
        line = shlex.split(run_command(["acl", role, "--redis-url", self.url]).stdout)
        for admin in self._admins:
            admin.execute_command(*line, ">p", *more)
            admin.acl_log_reset()
        return self.url.replace("://", f"://vwo_{role}:p@")

    def denied(self) -> list[str]:
        """What a node denied, but for redis-py's word of its own name."""
        told = [str(each["object"]) for admin in self._admins for each in admin.acl_log()]
        return [each for each in told if not each.startswith("client")]

    def end(self) -> None:
        """Forget the users."""
        for admin in self._admins:
            for user in admin.acl_users():
                if user.startswith("vwo_"):
                    admin.acl_deluser(user)


@pytest.fixture
def roles(group: ClusterGroup) -> Iterator[Roles]:
    """The shared cluster with a queue on it."""
    assert all(connect_to(group.url, shards=3).enqueue_many({"n": n} for n in range(20)))
    with ExitStack() as stack:
        made = Roles(group, stack)
        yield made
        made.end()


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_who_looks_sees_every_part(roles: Roles, role: str) -> None:
    """The line lets a user look at all parts, and nothing is denied on the way."""
    assert not said_errors(
        roles.url, LOOKS
    )  # Redis knows the scripts, which a viewer cannot give it
    url = roles.begin(role)

    assert said_errors(url, LOOKS) == []
    assert roles.denied() == []


def said_errors(url: str, commands: tuple[str, ...]) -> list[str]:
    """The commands of these that could not do what they are for."""
    results = {words: run_command([words, "--redis-url", url]) for words in commands}
    return [words for words, result in results.items() if "Error:" in result.stderr]


def test_a_worker_finds_the_shards_of_living_parts(roles: Roles) -> None:
    """A worker lacks nothing, and finds the shards by their keys, as where the list is away."""
    url = roles.begin("worker")
    fleet = Fleet(open_worker_client(url), "vwo")

    assert not missing(fleet, worker_needs(cluster=True))
    assert len(fleet.find_shards()) == 3
    assert roles.denied() == []


@pytest.mark.parametrize(
    ("rule", "command"), [("-cluster", "CLUSTER NODES"), ("-scan", "SCAN")]
)  # fmt: skip
def test_a_missing_right_is_named(roles: Roles, rule: str, command: str) -> None:
    """Without a right that only a Cluster asks for, looks go on, and the doctor prints the line."""
    keeps = ("+cluster|slots",) if rule == "-cluster" else ()
    url = roles.begin("operator", rule, *keeps)

    told = json.loads(run_command(["doctor", "--redis-url", url, "--json"]).stdout)

    (finding,) = [each for each in told if each["check"] == "permissions"]
    assert finding["remedy"].startswith(
        "if they connect as this user, run: ACL SETUSER vwo_operator +"
    )
    assert f"+{command.lower().replace(' ', '|')};" in finding["remedy"]
    assert said_errors(url, LOOKS) == []
