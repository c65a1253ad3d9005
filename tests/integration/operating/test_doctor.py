"""The doctor against real servers, each with one fault."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest

from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from tools.redis_groups import serve_all_slots
from vwo_celery.connections import open_client
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.queue.capacity import make_room
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.declines import note_decline
from vwo_celery.queue.servers.facts import read_servers
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "declined", "declined_queues")
BROKER = BrokerFacts(url="redis://broker", queue="q", workers=("w",), consumers=("w",))


def examine(
    queues: Queues, broker: BrokerFacts = BROKER, **settings: Any
) -> dict[str, list[Finding]]:
    """All findings, by check; the broker is healthy unless said otherwise."""
    given = Settings(redis_url=queues.settings.redis_url, **settings)
    found: dict[str, list[Finding]] = {}
    for finding in doctor.examine(given, lambda: queues.fleet, lambda _: broker):
        found.setdefault(finding.check, []).append(finding)
    return found


def test_a_working_fleet_has_no_problem(queues: Queues) -> None:
    """With a listener, a beat and moving events, the only finding is that the server keeps no data."""
    queues.fill(queues.add(), 7)
    queues.fleet.note_listener("host:1")
    queues.fleet.note_sweep("beat")

    found = examine(queues)

    assert [name for name, (first, *_) in found.items() if first.state != "ok"] == ["persistence"]
    assert {"settings", "redis", "eviction", "memory", "listener", "beat", "lanes", "queues", "hosts",
            "paused", "stopped", "circuit", "lateness", "answers", "capacity", "dead letters",
            "ledger", "broker", "consumers"} < set(found)  # fmt: skip


def test_no_worker_is_one_problem(queues: Queues) -> None:
    """Without workers nothing is swept or sent: one problem, with since when and how many events wait.

    Whether beat runs is not known then, so nobody is told to start one.
    """
    queue = queues.add()
    queues.fill(queue, 7)
    queues.age_open(queue, 500)
    queues.fleet.note_listener("web:1")
    queues.fleet.forget_listener("web:1")

    found = examine(queues, broker=BrokerFacts(url="redis://broker", queue="q"))

    troubles = [f for each in found.values() for f in each if f.state != "ok"]
    assert [f.id for f in troubles] == ["VC235", "VC401"]
    assert re.search(r"since [\d:]{8} \(.*\): .*7 events wait", troubles[1].what)


def test_an_empty_namespace_is_a_warning(queues: Queues) -> None:
    """An empty namespace is a warning: usually command and application use different Redis databases."""
    (finding,) = examine(queues, namespace="other")["queues"]

    assert finding.state == "warn"
    assert "redis_url" in finding.remedy


def test_a_host_that_workers_refuse_is_named(queues: Queues) -> None:
    """A host that workers refuse is named; once it is among allowed_hosts, there is no finding."""
    queue = queues.add(base_url="https://proxy.example:8443")
    queues.fill(queue, 1)

    (refused,) = examine(queues)["hosts"]
    (allowed,) = examine(queues, allowed_hosts=("proxy.example",))["hosts"]

    assert refused.state == "problem"
    assert "https://proxy.example:8443" in refused.what
    assert queue.name in refused.what
    assert "VWO_CELERY_ALLOWED_HOSTS" in refused.remedy
    assert allowed.state == "ok"


def test_workers_that_decline_a_queue_are_named(queues: Queues) -> None:
    """A worker that leaves a queue to others is a warning; where all do, it is a problem."""
    queue = queues.add()
    queues.fill(queue, 1)
    for worker in ("web:1", "web:2"):
        queues.fleet.note_listener(worker)
    (nobody,) = examine(queues)["declined"]
    note_decline(queues.fleet, queue.name, "web:1", "this worker may not send to 'a'")
    (one,) = examine(queues)["declined"]
    note_decline(queues.fleet, queue.name, "web:2", "this worker may not send to 'b'")
    queues.shard(queue).hold(queues.fleet.now_ms() + 5_000, by="workers", why="may not send")
    examined = examine(queues)
    (every,), (stopped,) = examined["declined"], examined["stopped"]

    assert stopped.state == "ok", "VWO has not failed"
    assert (nobody.state, one.state, every.state) == ("ok", "warn", "problem")
    assert "web:1: this worker may not send to 'a'" in one.what
    assert "web:2" not in one.what
    assert f"{queue.name} by web:1, web:2" in every.what
    assert "every other queue's host" in examined["hosts"][0].what


def test_callbacks_are_tried(queues: Queues) -> None:
    """A callback's module must be allowed; if it is missing here, it may exist where workers run."""
    queues.add(flush_callback="json:dumps")

    (refused,) = examine(queues)["callbacks"]
    (well,) = examine(queues, callback_modules=("json",))["callbacks"]
    queues.add(flush_callback="nowhere_to_be_found:f")
    (absent,) = examine(queues, callback_modules=("json", "nowhere_to_be_found"))["callbacks"]

    assert (refused.state, well.state, absent.state) == ("problem", "ok", "warn")
    assert "VWO_CELERY_CALLBACK_MODULES" in refused.what
    assert "nowhere_to_be_found" in absent.what


def test_each_trouble_of_the_queues_is_found(queues: Queues) -> None:
    """Paused, late, refused, dead, out of balance and nearly full: each is found, with its queue."""
    paused, late, refused, broken, full = (queues.add(account) for account in range(1, 6))
    for queue in (paused, late, broken, full):
        queues.fill(queue, 1)
    queues.shard(paused).pause("HTTP 401: the key is not accepted")
    queues.age_open(late, 5000)
    queues.fill(refused, 10)
    queues.release(refused, "HTTP 503")
    queues.kill(refused, "HTTP 413")
    queues.client.hincrby(queues.shard(broken).keys.meta, "accepted", 3)
    queues.client.hset(queues.shard(full).keys.meta, "capacity_events", 1)
    queues.fleet.note_listener("web:1")

    found = examine(queues)

    expected = {
        "paused": ("problem", paused, "HTTP 401: the key is not accepted"),
        "lateness": ("problem", late, "late"),
        "answers": ("warn", refused, "HTTP 503"),
        "dead letters": ("warn", refused, "5 events in 1 batch"),
        "ledger": ("problem", broken, "out of balance"),
        "capacity": ("problem", full, "100%"),
    }
    for check, (state, queue, words) in expected.items():
        (finding,) = found[check]
        assert (check, finding.state) == (check, state)
        assert queue.name in finding.what
        assert words in finding.what
        assert finding.remedy


def test_drops_are_told_by_reason_and_since_when(queues: Queues) -> None:
    """Events dropped to make room are a warning with reason and times; what was purged was meant."""
    queue, purged = queues.add(), queues.add(2)
    queues.fill(queue, 150)
    shard = queues.shard(queue)
    queues.client.hset(shard.keys.meta, "capacity_events", 150)
    (before,) = examine(queues)["dropped"]
    make_room(shard, [b"{}"] * 150)
    now = queues.fleet.now_ms()
    meant = {"dropped:purged": 5, "drop_first_ms:purged": now, "drop_last_ms:purged": now}
    queues.client.hset(queues.shard(purged).keys.meta, mapping=meant)

    (finding,) = examine(queues)["dropped"]

    assert before.state == "ok"
    assert (finding.id, finding.state) == ("VC632", "warn")
    assert re.search(rf"150 events of {queue.name} \(oldest\) since [\d:]+ \(", finding.what)
    assert purged.name not in finding.what
    assert "max_queue_events" in finding.remedy


@pytest.mark.parametrize(
    ("minutes", "by", "state"),
    [(1, "refusal", "warn"), (60, "refusal", "problem"), (60, "outage", "warn")],
)
def test_a_stop_that_lasts_is_a_problem(
    queues: Queues, minutes: int, by: Literal["refusal", "outage"], state: str
) -> None:
    """What passes by itself is a warning; a refusal that has lasted is somebody's business."""
    queue = queues.add()
    queues.fill(queue, 5)
    shard, now = queues.shard(queue), queues.fleet.now_ms()
    shard.hold(now + 600_000, by=by, why="VWO answered 4xx")
    queues.client.hset(shard.keys.meta, "held_ms", now - 60_000 * minutes)

    (finding,) = examine(queues)["circuit" if by == "outage" else "stopped"]

    assert finding.state == state
    assert "VWO answered 4xx" in finding.what
    assert "VWO keeps failing" not in finding.what, "it may be the network, or a proxy"
    assert ("resume" in finding.remedy) is (by == "refusal")


def test_a_refused_queue_has_the_way_out_of_a_wrong_key(queues: Queues) -> None:
    """Who finds a queue that VWO refuses is told how its events get to another key or account."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.shard(queue).pause("VWO answered 401", by="refusal")

    (finding,) = examine(queues)["paused"]

    assert finding.id == "VC612"
    assert f"vwo-celery resume --queue {queue.name}" in finding.remedy
    assert f"vwo-celery move --from {queue.name} --to QUEUE" in finding.remedy


def test_a_refused_queue_that_holds_nothing_may_be_forgotten(queues: Queues) -> None:
    """After its events were moved nothing is left to take along; the remedy does not name move."""
    queue = queues.add()
    queues.shard(queue).pause("VWO answered 401", by="refusal")

    (finding,) = examine(queues)["paused"]

    assert (finding.id, finding.state) == ("VC612", "warn")
    assert finding.remedy.endswith(f"vwo-celery queues forget {queue.name}")
    assert "move" not in finding.remedy


def test_a_paused_queue_without_events_is_a_warning(queues: Queues) -> None:
    """A paused queue without events is only a warning: nothing is held back yet."""
    queues.shard(queues.add()).pause("by an operator")

    (finding,) = examine(queues)["paused"]

    assert finding.state == "warn"


def test_lost_and_unreadable_registrations_are_found(queues: Queues) -> None:
    """Events with a lost or unreadable registration are found: no worker knows their destination."""
    queue = queues.add()
    queues.fill(queue, 3)
    queues.client.delete(queues.fleet.keys.queues)
    queues.client.hset(queues.fleet.keys.queues, "fme-9-later", "{}")

    found = examine(queues)

    assert found["unregistered"][0].state == "problem"
    assert f"{queue.name} hold 3 events" in found["unregistered"][0].what
    assert found["queues"][0].state == "problem"
    assert "fme-9-later" in found["queues"][0].what


def test_no_finding_shows_a_key(queues: Queues) -> None:
    """No finding shows a key: findings are pasted into tickets."""
    queues.fill(queues.add(base_url="https://proxy.example"), 1)

    text = str(examine(queues))

    assert KEY not in text


def test_redis_that_does_not_answer_is_a_finding() -> None:
    """A Redis that does not answer is a finding; the broker is still checked."""
    settings = Settings(redis_url="redis://:sekrit@127.0.0.1:1/0")
    fleet = Fleet(open_client(settings.redis_url, timeout_seconds=1), "vwo")

    found = list(doctor.examine(settings, lambda: fleet, lambda _: BROKER))

    assert [finding.check for finding in found] == [
        "settings",
        "spool",
        "redis",
        "broker",
        "consumers",
    ]
    assert found[2].state == "problem"
    assert "127.0.0.1:1" in found[2].what
    assert "sekrit" not in str(found)


def facts_of(server: RedisServer) -> Any:
    """The facts of the only server behind a client."""
    (facts,) = read_servers(open_client(server.url, timeout_seconds=2))
    return facts


def test_a_server_tells_of_its_memory_and_files() -> None:
    """Eviction policy, memory limit and append-only file are read as configured."""
    arguments = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--save", "3600", "1")

    with RedisServer(appendonly=True, arguments=arguments) as server:
        facts = facts_of(server)

    assert facts.version >= (6, 2)
    assert (facts.limit_bytes, facts.policy) == (100 * 2**20, "allkeys-lru")
    assert (facts.append_only, facts.fsync, facts.snapshots) == (True, "always", True)
    assert 0 < facts.used_bytes < facts.limit_bytes < facts.machine_bytes


def test_a_server_that_refuses_config_is_read_by_info() -> None:
    """On managed servers without CONFIG, policy and append-only file are read from INFO."""
    arguments = ("--rename-command", "CONFIG", "", "--maxmemory-policy", "allkeys-lru")

    with RedisServer(arguments=arguments) as server:
        facts = facts_of(server)

    assert facts.config_refused
    assert (facts.policy, facts.append_only) == ("allkeys-lru", False)
    assert (facts.fsync, facts.snapshots) == ("", None)


def test_a_replica_is_told_apart(redis_server: RedisServer) -> None:
    """A replica is recognised: it answers reads and refuses every event."""
    arguments = ("--replicaof", "127.0.0.1", str(redis_server.port))

    with RedisServer(arguments=arguments) as server:
        facts = facts_of(server)

    assert facts.role == "slave"


def test_every_node_of_a_cluster_is_asked() -> None:
    """In a cluster every node is asked; this one has a single node with all slots."""
    with RedisServer(arguments=("--cluster-enabled", "yes")) as server:
        serve_all_slots(server)
        client = open_client(server.url.replace("redis:", "redis+cluster:"), timeout_seconds=2)
        (facts,) = read_servers(client)

    assert facts.cluster
    assert facts.name == f"127.0.0.1:{server.port}"
    assert not facts.config_refused
