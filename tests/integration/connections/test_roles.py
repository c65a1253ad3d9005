"""`vwo-celery acl`: the printed line gives a Redis user what its role needs, and nothing more."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis as redis_py
from msgspec.structs import replace
from redis.exceptions import NoPermissionError

import vwo_celery
from tools.command_line import run_command
from tools.http_servers import Server, answering
from tools.producers import DESTINATION, KEPT
from tools.queue_states import Queues
from vwo_celery import Settings
from vwo_celery.connections import open_client, open_worker_client
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.servers.permissions import missing, producer_needs, worker_needs
from vwo_celery.queue.servers.roles import ROLES
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import sweeping
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*KEPT, "dead")
PASSWORD = "p"
#: Commands that no role may run, each with words that do nothing, or little.
NOBODYS = (
    "FLUSHALL",
    "KEYS *",
    "CONFIG SET maxmemory 0",
    "ACL LIST",
    "GET other",
    "GETSET other v",
)
#: Commands that change something of ours; a viewer may run none of them.
CHANGES = (
    "LPUSH K v", "RPOP K", "LTRIM K 0 0", "HSET K f v", "HDEL K f", "HINCRBY K f 1", "ZADD K 1 v",
    "ZREM K v", "SADD K v", "SREM K v", "DEL K", "UNLINK K", "SET K v", "RENAME K K", "PEXPIRE K 1",
    "XADD K * f v", "PUBLISH C v", "SUBSCRIBE C", "SCRIPT LOAD return", "EVAL return 0",
)  # fmt: skip


class Roles:
    """A server, and a user of each role, made by the line that the command prints."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url
        self.admin: Any = redis_py.Redis.from_url(server.url)

    def begin(self, role: str) -> str:
        """The URL of a user of this role; nothing was denied to anyone yet."""
        printed = run_command(["acl", role, "--redis-url", self.url])
        assert printed.exit_code == 0
        self.admin.execute_command(*shlex.split(printed.stdout))
        self.admin.execute_command("ACL", "SETUSER", f"vwo_{role}", f">{PASSWORD}")
        self.admin.execute_command("ACL", "LOG", "RESET")
        parts = urlsplit(self.url)
        return parts._replace(netloc=f"vwo_{role}:{PASSWORD}@{parts.netloc}").geturl()

    def counts(self) -> list[tuple[str, int]]:
        """What Redis denied to anyone, and how often; as in `denied`."""
        told = [(_text(each["object"]), int(each["count"])) for each in self.admin.acl_log()]
        return [(what, count) for what, count in told if not what.startswith("client")]

    def denied(self) -> list[str]:
        """What Redis denied to anyone, but for redis-py's word of its own name, which it may not say."""
        entries = [
            {
                name: each[name].decode() if isinstance(each[name], bytes) else each[name]
                for name in each
            }
            for each in self.admin.acl_log()
        ]
        return [
            f"{each['username']}: {each['object']} ({each['reason']})"
            for each in entries
            if not str(each["object"]).startswith("client")
        ]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of its own, since users are the server's."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def roles(server: RedisServer) -> Iterator[Roles]:
    """Its users; no key of an earlier test is left."""
    made = Roles(server)
    made.admin.flushall()
    yield made
    made.admin.flushall()
    made.admin.close()


def connect(url: str, base_url: str = "", **options: Any) -> vwo_celery.Queue:
    """A queue of an application that uses this URL."""
    return vwo_celery.connect(
        replace(DESTINATION, base_url=base_url), batch_event_data={"events_per_request": 5},
        redis_url=url, enqueue_timeout_seconds=5.0, strict=True, **options,
    )  # fmt: skip


def test_a_producer_can_do_its_work(roles: Roles) -> None:
    """An application with the producer's line registers, enqueues, makes room, flushes and listens."""
    queue = connect(roles.begin("producer"), max_queue_events=20, when_full="drop_oldest")

    assert all(queue.enqueue_many({"n": n} for n in range(15)))
    assert all(queue.enqueue_many({"n": n} for n in range(15)))  # makes room
    assert not queue.flush_events(timeout_seconds=0.1)
    assert list(queue.results(timeout_seconds=0.1)) == []
    assert queue.spooled() == 0
    assert roles.denied() == []


def test_a_worker_can_do_its_work(roles: Roles) -> None:
    """A worker with its line claims, sends and settles; it finds no right missing at its start."""
    url = roles.begin("worker")
    with Server(answering()) as vwo:
        queue = connect(roles.url, vwo.url)
        assert all(queue.enqueue_many({"n": n} for n in range(12)))
        fleet = Fleet(open_worker_client(url), "vwo")
        settings = Settings(redis_url=url, allowed_hosts=("127.0.0.1",))
        assert not missing(fleet, worker_needs())
        sweeping.sweep(fleet, by="beat")
        deliver(Worker(fleet, settings, lambda wakeup: None), Wakeup(queue.name, 0, ""))

    assert int(roles.admin.hget(producer_of(queue).shards[0].keys.meta, "delivered")) >= 10
    assert roles.denied() == []


#: Commands of the operator's command that only look, which a viewer runs, too; "Q" is the queue.
LOOKS = (
    ("status",), ("queues",), ("ledger",), ("dead", "list", "--events"), ("peek", "Q"), ("health",),
    ("history",),
)  # fmt: skip
STEPS = (
    ("flush",), ("pause", "--all"), ("resume", "--all"), ("dead", "redrive"), ("dead", "purge", "--yes"),
)  # fmt: skip


def prepared(roles: Roles) -> str:
    """A queue with events in every place but in flight; its name."""
    queues = Queues(roles.url)
    queue = queues.add()
    queues.fill(queue, 22)
    queues.kill(queue, "VWO answered 413")
    queues.kill(queue, "VWO answered 400")
    queues.release(queue, "VWO answered 503")
    return queue.name


def run_all(url: str, name: str, commands: Any) -> dict[str, Any]:
    """Run commands of the operator; those that failed for want of a right, with what they said."""
    done = {}
    for words in commands:
        result = run_command(
            [*(name if each == "Q" else each for each in words), "--redis-url", url]
        )
        said = result.stdout + result.stderr
        failed = "permission" in said or "Error:" in said or result.exit_code == 2
        done[" ".join(words)] = said if failed else ""
    return {words: said for words, said in done.items() if said}


def test_an_operator_can_do_its_work(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the operator's line every command works, the doctor included, and nothing is denied."""
    monkeypatch.setenv("VWO_CELERY_BROKER_URL", roles.url)  # which has a user of its own
    url, name = roles.begin("operator"), prepared(roles)

    failed = run_all(url, name, (*LOOKS, *STEPS))
    doctor = json.loads(run_command(["doctor", "--redis-url", url, "--json"]).stdout)

    assert failed == {}
    assert [
        each for each in doctor if each["check"] == "permissions" and each["state"] != "ok"
    ] == []
    assert roles.denied() == []


def test_a_viewer_can_look_and_change_nothing(roles: Roles) -> None:
    """With the viewer's line every command that looks works; nothing that changes anything does."""
    url, name = roles.begin("viewer"), prepared(roles)
    assert run_all(roles.url, name, LOOKS) == {}  # an operator has looked: Redis knows the scripts
    roles.admin.execute_command("ACL", "LOG", "RESET")
    before = {key: roles.admin.dump(key) for key in roles.admin.keys("vwo:*")}

    looked = run_all(url, name, LOOKS)
    denied = roles.denied()
    refused = {words: run_command([*words, "--redis-url", url]).exit_code for words in STEPS}

    roles.admin.script_flush()

    assert looked == {}
    assert denied == []
    assert set(refused.values()) == {1}
    assert run_all(url, name, LOOKS) == {}  # also where Redis knows no script
    after = {key: roles.admin.dump(key) for key in roles.admin.keys("vwo:*")}
    assert after == before


def test_a_viewer_is_denied_a_script_once(roles: Roles) -> None:
    """Where Redis knows no script, many looks at many queues try once to load it, and tell the same."""
    url, queues = roles.begin("viewer"), (prepared(roles), "fme-2-empty")
    roles.admin.script_flush()

    with open_client(url, timeout_seconds=5.0) as client:
        for _ in range(2):
            looked = take_glances([Shard(client, "vwo", queue, 0) for queue in queues])
            assert [glance.dead_events for glance in looked] == [10, 0]

    denied = {each.split("|")[0]: count for each, count in roles.counts()}
    assert denied == {"script": 1}


def test_a_viewer_who_changes_something_is_told_which_right_is_missing(roles: Roles) -> None:
    """Also where Redis does not know the script: it is the right to load it, and whose."""
    url, _ = roles.begin("viewer"), prepared(roles)
    roles.admin.script_flush()

    told = run_command(["pause", "--all", "--redis-url", url])

    assert told.exit_code == 1
    assert "Redis user 'vwo_viewer' may not run SCRIPT" in " ".join(told.stderr.split())
    assert "NoScriptError" not in told.stderr


def test_a_viewer_is_told_of_a_key_of_a_wrong_type(roles: Roles) -> None:
    """Who only looks sees which key is wrong, and is denied nothing on the way."""
    url, name = roles.begin("viewer"), prepared(roles)
    run_all(roles.url, name, LOOKS)  # an operator has looked: Redis knows the scripts
    roles.admin.execute_command("ACL", "LOG", "RESET")
    wakeups = Fleet(roles.admin, "vwo").keys.wakeups
    roles.admin.delete(wakeups)
    roles.admin.hset(wakeups, "a", "b")

    told = run_command(["status", "--redis-url", url]).stdout

    assert wakeups in told
    assert roles.denied() == []


@pytest.mark.parametrize("role", ROLES)
def test_no_role_can_do_more(roles: Roles, role: str) -> None:
    """No user may touch other keys, or the server; a viewer may run no command that changes anything."""
    with redis_py.Redis.from_url(roles.begin(role)) as client:
        for command in (*NOBODYS, *(CHANGES if role == "viewer" else ())):
            words = [
                {"K": "vwo:1:{q:0}:open", "C": "vwo:1:results:q"}.get(w, w) for w in command.split()
            ]
            with pytest.raises(NoPermissionError):
                client.execute_command(*words)


def test_a_viewer_changes_nothing_by_a_script_either(roles: Roles) -> None:
    """A script that is known to Redis runs for a viewer, and is stopped at its first change."""
    sha = roles.admin.script_load("return redis.call('LPUSH', KEYS[1], 'v')")
    url = roles.begin("viewer")

    with redis_py.Redis.from_url(url) as client, pytest.raises(redis_py.ResponseError):
        client.evalsha(sha, 1, "vwo:1:{q:0}:open")

    assert roles.admin.keys("*") == []


def test_lines_are_printed_for_redis_cli_and_for_the_acl_file(roles: Roles) -> None:
    """Without a role, each gets a line; the ACL file's form, another name, and JSON are to be had."""
    every, file = run_command(["acl"]), run_command(["acl", "viewer", "--format", "users.acl"])
    named = run_command(["acl", "producer", "--user", "shop", "--namespace", "n"])
    (document,) = json.loads(run_command(["acl", "producer", "--json"]).stdout)

    assert [line.split()[2] for line in every.stdout.splitlines()] == [
        f"vwo_{each}" for each in ROLES
    ]
    assert file.stdout.startswith("user vwo_viewer reset on ~vwo:* resetchannels +")
    assert "&" not in file.stdout
    assert named.stdout.startswith("ACL SETUSER shop reset on ~n:* resetchannels &n:* +")
    assert "ACL SETUSER shop '>PASSWORD'" in named.stderr
    assert (document["role"], document["user"]) == ("producer", "vwo_producer")
    assert set(document["line"].upper().split()) >= {
        f"+{each}" for each in producer_needs() if " " not in each
    }
    cluster = run_command(["acl", "worker", "--redis-url", "redis+cluster://a:1"]).stdout
    other = run_command(["acl", "worker", "--redis-url", "redis://a:1/3"]).stdout
    assert ("+cluster|slots" in cluster, "+select" in cluster, "+select" in other) == (
        True,
        False,
        True,
    )
    assert run_command(["acl", "nobody"]).exit_code == 2
    assert run_command(["acl", "--user", "x"]).exit_code == 2
    assert run_command(["acl", "viewer", "--user", "a b"]).exit_code == 2
