"""A Redis user with the listed rights can do all, and the list is what code and docs say."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from msgspec.structs import replace

import vwo_celery
from tools.http_servers import Server, answering
from tools.producers import DESTINATION
from tools.queue_states import OPERATOR, everything, find_dead
from tools.redis_users import ALL, Users
from vwo_celery import Settings
from vwo_celery.connections import open_worker_client
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.operating import operations
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue import capacity
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.circuit import Circuit
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.servers.facts import read_servers
from vwo_celery.queue.servers.permissions import acl_rules, producer_needs, worker_needs
from vwo_celery.queue.servers.roles import ROLES, rules_of
from vwo_celery.queue.servers.roles import Server as Kind
from vwo_celery.queue.words.batches import Batch, Part
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import stranded, sweeping
from vwo_celery.queue.work.results import result_text

QUEUE_FILES = sorted((Path(vwo_celery.__file__).parent / "queue").rglob("*.py"))
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "redis.md"


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
