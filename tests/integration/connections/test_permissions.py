"""A Redis user with the documented rights can do all; whatever it lacks is named with its remedy."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis as redis_py
from msgspec.structs import replace

import vwo_celery
from tools.command_line import run_command
from tools.http_servers import Server, answering
from tools.producers import DESTINATION, KEPT
from tools.queue_states import OPERATOR, everything, find_dead
from vwo_celery import Settings
from vwo_celery.celery.worker.listener import _end_without_permissions
from vwo_celery.connections import open_worker_client
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating import operations
from vwo_celery.operating.doctor.permissions import permission_finding
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue import capacity
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.circuit import Circuit
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.servers.facts import read_servers
from vwo_celery.queue.servers.permissions import (
    OPTIONAL_COMMANDS,
    Missing,
    acl_rules,
    missing,
    producer_needs,
    worker_needs,
)
from vwo_celery.queue.servers.roles import ROLES, rules_of
from vwo_celery.queue.servers.roles import Server as Kind
from vwo_celery.queue.words.batches import Batch, Part
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import stranded, sweeping
from vwo_celery.queue.work.results import result_text
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*KEPT, "dead", "leases")
QUEUE_FILES = sorted((Path(vwo_celery.__file__).parent / "queue").rglob("*.py"))
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "redis.md"
USER, PASSWORD = "monkey", "p"
#: Rules of a user that may do everything.
ALL = ("~*", "&*", "+@all")


class Users:
    """A server on which each user has chosen rights."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url
        self.admin: Any = redis_py.Redis.from_url(server.url)
        self.admin.flushall()
        self.admin.execute_command("ACL", "LOG", "RESET")

    def make(self, *rules: str) -> str:
        """A user with these rights; its URL."""
        self.admin.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rules)
        parts = urlsplit(self.url)
        return parts._replace(netloc=f"{USER}:{PASSWORD}@{parts.netloc}").geturl()

    def denied(self) -> list[Any]:
        """The commands that Redis denied to anyone, but for those that only tell the user's name."""
        entries = (
            {name: _text(value) for name, value in each.items()} for each in self.admin.acl_log()
        )
        return [
            each for each in entries if not each["object"].startswith(("acl", "client", "config"))
        ]

    def follow(self, remedy: str) -> None:
        """Do what a message asks for, word by word."""
        self.admin.execute_command(*remedy.split())


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of its own, since users are the server's."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def users(server: RedisServer) -> Iterator[Users]:
    """Its users."""
    made = Users(server)
    yield made
    made.admin.close()


def what_lacks(url: str, needs: frozenset[str] = worker_needs()) -> Missing:
    """What a worker with this URL finds missing."""
    return missing(Fleet(open_worker_client(url), "vwo"), needs)


# -- what is missing is named, and the remedy works


@pytest.mark.parametrize("command", sorted(worker_needs() - set(OPTIONAL_COMMANDS)))
def test_each_missing_command_is_named(users: Users, command: str) -> None:
    """A try finds the one command that a user may not run, and the printed line gives it back."""
    url = users.make(*ALL, f"-{command.lower().partition(' ')[0]}")

    found = what_lacks(url)
    users.follow(found.remedy)

    assert found.commands == (command,)
    assert command in str(found)
    assert (found.keys, found.channels) == (False, False)
    assert not what_lacks(url)


@pytest.mark.parametrize(
    ("rules", "keys", "channels", "remedy"),
    [
        (("~other:*", "&*", "+@all"), True, False, f"ACL SETUSER {USER} ~vwo:*"),
        (("~vwo:*", "resetchannels", "&other:*", "+@all"), False, True, f"ACL SETUSER {USER} &vwo:*"),
        (("resetchannels", "+@all"), True, True, f"ACL SETUSER {USER} ~vwo:* &vwo:*"),
    ],
)  # fmt: skip
def test_missing_patterns_are_named(
    users: Users, rules: tuple[str, ...], keys: bool, channels: bool, remedy: str
) -> None:
    """Keys and channels that the user may not use are told apart from commands."""
    url = users.make(*rules)

    found = what_lacks(url)
    users.follow(found.remedy)

    assert (found.commands, found.keys, found.channels) == ((), keys, channels)
    assert found.remedy == remedy
    assert not what_lacks(url)


def test_a_user_without_any_right_is_told_all_at_once(users: Users) -> None:
    """A user that may do nothing gets one line with everything."""
    url = users.make("resetchannels")

    first = what_lacks(url)
    users.follow(first.remedy)
    second = what_lacks(url)
    users.follow(second.remedy)

    assert set(first.commands) == worker_needs() - set(OPTIONAL_COMMANDS)
    assert (second.commands, second.keys, second.channels) == ((), True, True)
    assert not what_lacks(url)


def test_what_all_works_without_is_not_asked_for(users: Users) -> None:
    """A user without `@dangerous`, as many managed servers have, lacks nothing, and a worker starts."""
    url = users.make(*ALL, "-@dangerous", "-type")

    _end_without_permissions(Fleet(open_worker_client(url), "vwo"))

    assert not what_lacks(url)


def test_the_try_leaves_nothing_behind(users: Users) -> None:
    """The try leaves no key, also where memory is full."""
    what_lacks(users.make(*ALL))

    assert users.admin.keys("*") == []


def test_a_worker_ends_and_says_what_to_run(users: Users, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that lacks a right ends with the line for ACL SETUSER in its log."""
    url = users.make(*ALL, "-copy")

    with pytest.raises(SystemExit) as ended:
        _end_without_permissions(Fleet(open_worker_client(url), "vwo"))

    assert ended.value.code == 1
    assert f"Run: ACL SETUSER {USER} +copy" in caplog.text
    users.follow(f"ACL SETUSER {USER} +copy")
    _end_without_permissions(Fleet(open_worker_client(url), "vwo"))


def test_a_worker_starts_without_redis(caplog: pytest.LogCaptureFixture) -> None:
    """A worker whose Redis is away starts, and serves once it is back."""

    class Away(Fleet):
        @property
        def client(self) -> Any:
            raise redis_py.ConnectionError("refused")

        @client.setter
        def client(self, client: Any) -> None:
            del client

    _end_without_permissions(Away(None, "vwo"))

    assert "without knowing" in caplog.text


def test_the_doctor_tells_who_needs_it(users: Users) -> None:
    """The doctor says whether applications need what is missing, too."""
    url = users.make(*ALL, "-copy")
    of_worker = what_lacks(url)
    users.make(*ALL, "-lpush")
    of_both = what_lacks(url)

    copy = permission_finding(of_worker, what_lacks(url, producer_needs()).commands[1:])
    push = permission_finding(of_both, what_lacks(url, producer_needs()).commands)

    assert (copy.state, push.state) == ("problem", "problem")
    assert "may not run COPY, which workers need" in copy.what
    assert "may not run LPUSH, which workers and applications need" in push.what
    assert f"ACL SETUSER {USER} +lpush" in push.remedy
    users.make(*ALL)
    assert permission_finding(what_lacks(url), ()).state == "ok"


def test_nobody_is_told_to_start_a_redis_that_denies(users: Users) -> None:
    """Where Redis denies a command, each of ours says so, and says to give the user its rights."""
    url = users.make(*ALL, "-smembers", "-publish")

    said = {
        name: run_command([name, "--redis-url", url]) for name in ("status", "health", "doctor")
    }

    for each in said.values():
        text = " ".join((each.stdout + each.stderr).split()).lower()
        assert each.exit_code == 1
        assert "may not run" in text or "no permissions to run the 'smembers'" in text
        assert f"acl setuser {USER} +publish +smembers" in text
        assert "start it, or" not in text
        assert "start redis" not in text
    doctor = " ".join(said["doctor"].stdout.split())
    assert "may not run PUBLISH, SMEMBERS, which workers need" in doctor
    assert "give its user Celery's rights" in doctor


# -- what is listed is enough, and is what the code uses


def test_an_application_needs_no_more(users: Users) -> None:
    """With the listed rights an application registers, enqueues in every way, makes room and flushes."""
    url = users.make(*acl_rules("vwo", producer_needs()).split())
    queue = _queue(url, max_queue_events=60, when_full="drop_oldest", wait_replicas=1)
    other = _queue(url, batch_event_data={"events_per_request": 100})

    assert queue.enqueue({"n": 0})
    assert all(all(queue.enqueue_many({"n": n} for n in range(50))) for _ in range(2))
    assert all(other.enqueue({"n": n}) for n in range(30))
    assert not other.flush_events(timeout_seconds=0.1)
    assert other.drain_spool(timeout_seconds=1)
    assert list(other.results(timeout_seconds=0.1)) == []

    assert queue.spooled() == other.spooled() == 0
    assert users.denied() == []


def test_a_worker_needs_no_more(users: Users) -> None:
    """With the listed rights a worker sweeps, delivers, splits, and an operator sees and does all."""
    url = users.make(*acl_rules("vwo", worker_needs()).split())
    with Server(answering()) as vwo:
        queue = _queue(url, base_url=vwo.url)
        assert all(queue.enqueue_many({"n": n} for n in range(50)))
        fleet = Fleet(open_worker_client(url), "vwo")
        settings = Settings(redis_url=url, allowed_hosts=("127.0.0.1",))
        sweeping.sweep(fleet, by="beat")
        shard = producer_of(queue).shards[0]
        _settle_in_every_way(fleet.shard(queue.name, shard.number), settings)
        worker = Worker(fleet, settings, lambda wakeup: None)
        while deliver(worker, Wakeup(queue.name, 0, "")):
            pass
    _operate(fleet)

    assert users.denied() == []


def _queue(url: str, *, base_url: str = "", **options: Any) -> vwo_celery.Queue:
    batch = options.pop("batch_event_data", {"events_per_request": 5})
    return vwo_celery.connect(
        replace(DESTINATION, base_url=base_url), batch_event_data=batch, redis_url=url,
        enqueue_timeout_seconds=5.0, strict=True, **options,
    )  # fmt: skip


def _settle_in_every_way(shard: Any, settings: Settings) -> None:
    claims = [shard.claim(token="", lease_seconds=60) for _ in range(5)]
    back, released, dead, split, extended = (each for each in claims if isinstance(each, Batch))
    assert shard.hand_back(back, lease_until_ms=back.lease_until_ms)
    assert shard.release(released, delay_seconds=0, error="HTTP 503")
    assert shard.dead_letter(dead, error="too old")
    assert shard.split(split, [Part("ready", ((1, 5),), split.bytes - 8)], delivered=1)
    assert shard.extend(extended, lease_seconds=60)
    assert shard.read(extended)
    assert shard.ack(extended.id)
    circuit = Circuit(shard.client, shard.queue, settings, lambda: 1.0)
    while circuit.note_failure(delivered_ms=0, floor_seconds=None, probe="") is None:
        pass
    circuit.ask()
    circuit.end_probe("p", answered=True)
    shard.hold(1)
    shard.let_go()
    shard.count_receiver_errors(1)
    stranded.restore(shard)


def _operate(fleet: Fleet) -> None:
    registered = fleet.registrations().readable
    assert view_queues(fleet, registered)
    operations.pause(fleet, OPERATOR, registered, "by hand")
    operations.resume(fleet, OPERATOR, registered)
    dead = find_dead(fleet, registered)
    assert operations.redrive(fleet, OPERATOR, dead[:1], everything(dead[:1])).changed.events
    capacity.trim_dead([fleet.shard(next(iter(registered)), 0)], 0)
    operations.purge(fleet, OPERATOR, dead, everything(dead))
    fleet.note_listener("worker")
    fleet.listeners()
    fleet.forget_listener("worker")
    fleet.leave_wakeups("q", 0, ["token"])
    assert fleet.next_wakeup(0.1)
    fleet.publish_result("q", result_text(None, [b"{}"]))
    for shard in fleet.watched():
        fleet.unwatch(shard)
    assert read_servers(fleet.client)


def test_a_denied_push_is_spooled_and_drained_once(users: Users) -> None:
    """An application whose user lacks a command spools its events; later each is stored once."""
    url = users.make(*ALL)
    queue = _queue(url, batch_event_data={"events_per_request": 100})
    assert queue.enqueue({"n": 0})
    users.make(*ALL, "-lpush", "-lpushx")

    receipts = [queue.enqueue({"n": n}).where for n in range(1, 6)]
    users.make(*ALL)
    assert queue.drain_spool(timeout_seconds=10)

    assert receipts == ["spooled"] * 5
    shard = producer_of(queue).shards[0]
    assert take_snapshot(shard).accepted == take_snapshot(shard).pending == 6


#: redis-py's methods in queue/ that send no command of that name, and the command they send.
_OTHERWISE = {
    "delete": "DEL", "execute": "EXEC", "script_load": "SCRIPT LOAD",
    "subscribe": "SUBSCRIBE", "close": "UNSUBSCRIBE",
}  # fmt: skip
#: Methods that only hand on, and what is asked for by the doctor, or where a part of a Cluster is away:
#: they do without where it is denied.
_NO_COMMAND = {
    "pipeline", "pubsub", "execute_command", "exchange", "masters", "node_of", "forget", "append",
    "get_message", "config_get", "part_of", "node", "cluster", "scan_iter",
    "client", "queue", "keys", "number", "extend", "run", "command", "settled", "watch",
}  # fmt: skip


def test_every_command_in_the_code_is_listed() -> None:
    """The lists name every command that a module of queue/ sends."""
    sent = set()
    for path in QUEUE_FILES:
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            match node:
                case ast.Call(ast.Attribute(owner, method)) if re.search(
                    r"(client|pipe|node|subscription)$", ast.unparse(owner)
                ):
                    sent.add(_OTHERWISE.get(method, method.upper().replace("_", " ")))
                case ast.Tuple([ast.Constant(str() as word), *_]) if word.isupper():
                    sent.add(word)

    sent -= {name.upper().replace("_", " ") for name in _NO_COMMAND}
    assert {"HSET", "BRPOP", "WAIT", "EVALSHA", "SCRIPT LOAD"} <= sent
    assert sent <= worker_needs(cluster=True)


def test_the_page_has_the_rules() -> None:
    """docs/how-to/redis.md shows exactly the rights that workers and applications need."""
    typed = re.findall(r"ACL SETUSER (\w+) on >\S+ (.*?)\n```", PAGE.read_text("utf-8"), re.DOTALL)
    rules = {user: set(text.replace("\\", " ").split()) for user, text in typed}

    assert rules == {
        "vwo_worker": set(acl_rules("vwo", worker_needs()).split()),
        "vwo_application": set(acl_rules("vwo", producer_needs()).split()),
    }


def test_the_page_has_what_a_cluster_adds() -> None:
    """It shows the further rights of every user there, and those of all but applications."""
    (sentence,) = re.findall(r"On a Cluster add .*?:", PAGE.read_text("utf-8"), re.DOTALL)
    of_all, of_others = (words.split() for words in re.findall(r"`([^`]+)`", sentence))
    added = {
        role: set(rules_of(role, "vwo", Kind(cluster=True)).split())
        - set(rules_of(role, "vwo").split())
        for role in ROLES
    }

    assert added.pop("producer") == set(of_all)
    assert {frozenset(each) for each in added.values()} == {frozenset(of_all + of_others)}


def test_an_unreachable_redis_is_no_missing_right(users: Users) -> None:
    """Without an answer of Redis nothing is said about rights."""
    with pytest.raises(QueueUnavailable):
        what_lacks("redis://127.0.0.1:1/0")
