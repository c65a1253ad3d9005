"""Metrics: what a scrape tells of the queues, of workers and of Redis."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tools.promtool import promtool
from tools.queue_states import Queues
from vwo_celery import Settings
from vwo_celery.metrics import Collector, exposition
from vwo_celery.metrics.table import METRICS
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.queue.records.balances import read_balances
from vwo_celery.queue.records.cards import Card, write_card
from vwo_celery.queue.records.reports import Count, new_report, report
from vwo_celery.queue.servers.roles import rules_of
from vwo_celery.queue.work import proving
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(
    "watched", "open", "batch", "wakeups", "slots", "ready", "info", "leases", "dead", "declined",
    "declined_queues",
)  # fmt: skip

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    """Every sample of a scrape, by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(queues: Queues, **settings: Any) -> str:
    """What a scrape gets."""
    given = Settings(redis_url=queues.settings.redis_url, **settings)
    return exposition(queues.fleet, given)[0].decode()


def value(text: str, name: str, **labels: str) -> float | None:
    """The value of one sample; None if there is none."""
    wanted = frozenset({"namespace": "vwo", **labels}.items())
    return samples_of(text).get((f"vwo_celery_{name}", wanted))


@pytest.fixture
def fleet_in_trouble(queues: Queues) -> Queues:
    """Queues of which each metric of the table has something to tell."""
    bring_into_trouble(queues)
    return queues


def bring_into_trouble(queues: Queues) -> None:
    """Let each metric of the table have something to tell."""
    busy, paused = queues.add(1), queues.add(2)
    queues.fill(busy, 23)
    queues.kill(busy, "VWO answered 413 (Content Too Large)")
    queues.release(busy, "VWO answered 503 (Service Unavailable)")
    queues.claim(busy)
    queues.fill(paused, 3)
    queues.shard(paused).pause("x")
    write_card(queues.fleet, "w:1", Card(version="0.2.0", pool="prefork", concurrency=4))
    queues.fleet.note_listener("w:1")
    queues.fleet.note_sweep("beat")
    queues.fleet.note_sweep("listener")
    queues.fleet.note_task()
    shard = queues.shard(busy)
    queues.client.hset(shard.keys.tally, mapping={"answer:503": 3, "dead:too_large": 5})
    counts = {"unaccepted:redis_unavailable": Count(7, 0, 0), "spooled": Count(2, 0, 0)}
    assert report(shard, new_report(0, counts), now=1)
    proving.prove_if_due(queues.fleet)
    queues.client.config_set("maxmemory", 2**30)


def test_promtool_finds_nothing_wrong_with_a_scrape(fleet_in_trouble: Queues) -> None:
    """Names, types and help are as Prometheus' conventions want them."""
    ran = promtool("check", "metrics", text=scrape(fleet_in_trouble))

    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)


def test_a_scrape_tells_each_metric_of_the_table_and_no_other(fleet_in_trouble: Queues) -> None:
    """Every row of the table appears with its type, its help and its labels."""
    text = scrape(fleet_in_trouble)

    told = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert told == {metric.name: metric.kind for metric in METRICS}
    for family in text_string_to_metric_families(text):
        (metric,) = [each for each in METRICS if each.name.removesuffix("_total") == family.name]
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        assert labels == {"namespace", *metric.labels}
        assert family.documentation == metric.help


def test_a_scrape_and_the_command_tell_the_same(fleet_in_trouble: Queues) -> None:
    """The numbers of a queue are those of its view and of its ledger."""
    text = scrape(fleet_in_trouble)
    views = view_queues(fleet_in_trouble.fleet, fleet_in_trouble.registered)

    for view in views:
        queue = {"queue": view.queue}
        for state in ("open", "ready", "in_flight", "released", "dead"):
            assert value(text, "events", state=state, **queue) == getattr(view, state)
        assert value(text, "events_accepted_total", **queue) == view.ledger.accepted
        assert value(text, "events_delivered_total", **queue) == view.ledger.delivered
        assert value(text, "queue_paused", **queue) == bool(view.paused)
    assert value(text, "queue_stopped", queue=views[1].queue, by="unknown") in (0, 1)


def test_two_exporters_tell_the_same(fleet_in_trouble: Queues) -> None:
    """Any number may run: none counts anything, so two scrapes differ in times alone."""
    url = fleet_in_trouble.settings.redis_url
    found = []
    for _ in range(2):
        registry = CollectorRegistry()
        registry.register(Collector(redis_url=url))
        found.append(samples_of(generate_latest(registry).decode()))

    one, other = (
        {k: v for k, v in each.items() if "_seconds" not in k[0] and "memory" not in k[0]}
        for each in found
    )
    assert one == other
    assert len(one) > 100


def test_a_scrape_changes_nothing(fleet_in_trouble: Queues) -> None:
    """Every key is as it was before."""

    def everything() -> dict[bytes, bytes]:
        client = fleet_in_trouble.client
        return {key: client.dump(key) for key in client.scan_iter()}

    before = everything()
    scrape(fleet_in_trouble)

    assert everything() == before


def test_a_redis_that_stops_is_told_and_nothing_stale() -> None:
    """Without Redis a scrape says so, and tells no number of before; with it again, all of them."""
    registry = CollectorRegistry()
    with RedisServer() as server:
        queues = Queues(server.url)
        queues.fill(queues.add(), 3)
        registry.register(Collector(redis_url=server.url))
        before = generate_latest(registry).decode()
    after = generate_latest(registry).decode()

    assert value(before, "redis_up") == 1
    assert value(after, "redis_up") == 0
    assert {name for name, _ in samples_of(after)} == {
        "vwo_celery_redis_up", "vwo_celery_scrape_duration_seconds", "vwo_celery_build_info",
    }  # fmt: skip


def test_queues_beyond_the_most_are_told_as_one(queues: Queues) -> None:
    """The first that were registered keep their names, in that order; the others are added up."""
    names = []
    for account in range(1, 6):
        queue = queues.add(account)
        queues.fill(queue, account)
        queues.age_open(queue, 100 * account)
        queues.client.hset(queues.shard(queue).keys.meta, "begun_ms", 10 - account)
        names.append(queue.name)

    text = scrape(queues, metrics_max_queues=2)

    told = set(re.findall(r'vwo_celery_events\{.*queue="([^"]+)"', text))
    assert told == {names[4], names[3], "_other"}
    assert value(text, "events", queue="_other", state="open") == 1 + 2 + 3
    assert value(text, "events_accepted_total", queue="_other") == 6
    assert 300 <= (value(text, "oldest_event_age_seconds", queue="_other") or 0) < 400
    assert value(text, "interval_seconds", queue="_other") == 60
    assert value(text, "queues") == 5


def test_histograms_of_others_are_added_up_by_bucket(queues: Queues) -> None:
    """Deliveries of queues that are told as one fall into the same buckets."""
    for account in (1, 2, 3):
        keys = queues.shard(queues.add(account)).keys
        queues.client.hset(keys.tally, mapping={"age:0": 2, "age:14": 1, "age_ms": 1500})

    text = scrape(queues, metrics_max_queues=1)

    assert value(text, "delivery_age_seconds_bucket", queue="_other", le="0.5") == 4
    assert value(text, "delivery_age_seconds_count", queue="_other") == 6
    assert value(text, "delivery_age_seconds_sum", queue="_other") == 3.0


def test_a_moved_batch_lets_no_counter_fall(queues: Queues) -> None:
    """What leaves the ledger by a move stays accepted, and is told as moved."""
    queue = queues.add()
    queues.fill(queue, 5)
    before = scrape(queues)
    # As depart.lua and moved.lua leave it.
    queues.client.hincrby(queues.shard(queue).keys.meta, "accepted", -5)
    queues.client.hset(queues.shard(queue).keys.meta, "moved_out", 5)
    after = scrape(queues)

    for text in (before, after):
        assert value(text, "events_accepted_total", queue=queue.name) == 5
    assert value(after, "events_moved_total", queue=queue.name) == 5


def test_words_that_redis_holds_make_no_series(queues: Queues) -> None:
    """A label takes only the words of its closed list; what else stands in Redis is `other`."""
    queue = queues.add()
    keys = queues.shard(queue).keys
    strange = {f"answer:{word}": 1 for word in ("503", "timeout", "x\n1", "99", "600", "teapot")}
    queues.client.hset(keys.tally, mapping=strange)
    queues.client.hset(keys.meta, mapping={"dropped:oldest": 2, 'dropped:"}': 3})

    text = scrape(queues)

    answers = set(re.findall(r'answers_total\{answer="([^"]*)"', text))
    assert answers == {"503", "timeout", "other"}
    assert value(text, "answers_total", queue=queue.name, answer="other") == 4
    assert value(text, "events_dropped_total", queue=queue.name, reason="other") == 3


def test_a_name_that_redis_holds_spoils_no_scrape(queues: Queues, declared_keys: Any) -> None:
    """Line ends, quotes, NUL and signs of direction in a queue's name are told as their escapes."""
    declared_keys("*")
    name = 'a"b\\c\nd\0e\u202ef'
    queues.client.lpush(queues.fleet.shard(name, 0).keys.open, b"{}")
    queues.fleet.watch(f"{name}:0")

    text = scrape(queues)

    assert "\0" not in text
    assert value(text, "events", queue='a"b\\c\\nd\\x00e\\u202ef', state="open") == 1
    assert promtool("check", "metrics", text=text).returncode == 0


def test_a_ledger_out_of_balance_is_told(queues: Queues) -> None:
    """A sweep proves the ledgers by what is stored; a scrape tells what it found, until it is mended."""
    queue = queues.add()
    queues.fill(queue, 12)
    keys = queues.shard(queue).keys
    assert value(scrape(queues), "ledger_imbalance_events", queue=queue.name) is None

    def prove() -> float | None:
        queues.client.hdel(queues.fleet.keys.balances, "begun_ms")
        queues.fleet.memory.prove_look_at = 0.0
        proving.prove_if_due(queues.fleet)
        return value(scrape(queues), "ledger_imbalance_events", queue=queue.name)

    assert prove() == 0
    queues.client.hincrby(keys.meta, "accepted", 4)
    assert prove() == 4
    queues.client.hincrby(keys.meta, "accepted", -4)
    assert prove() == 0
    assert value(scrape(queues), "ledger_checked_timestamp_seconds")


def test_ledgers_are_proven_once_in_a_while(queues: Queues) -> None:
    """Of any number of sweepers one proves them, and again only after ten minutes."""
    queues.fill(queues.add(), 1)
    proving.prove_if_due(queues.fleet)
    first = read_balances(queues.fleet)

    queues.fleet.memory.prove_look_at = 0.0
    proving.prove_if_due(queues.fleet)
    assert read_balances(queues.fleet) == first

    queues.client.hset(queues.fleet.keys.balances, "begun_ms", first.begun_ms - proving.PERIOD_MS)
    queues.fleet.memory.prove_look_at = 0.0
    proving.prove_if_due(queues.fleet)
    assert read_balances(queues.fleet).begun_ms >= first.begun_ms


def test_a_look_costs_the_same_at_any_backlog(queues: Queues) -> None:
    """No command of a scrape reads batches: neither their lines nor a whole set of them."""
    queues.fill(queues.add(), 500)
    with queues.client.monitor() as monitor:
        scrape(queues)
        queues.client.echo("end")
        sent = []
        while (command := monitor.next_command()["command"]) != "ECHO end":
            sent.append(command)

    assert not [each for each in sent if re.match(r"(HGETALL \S+:info|Z?RANGE \S+ 0 -1)", each)]
    assert len(sent) < 60


def test_openmetrics_is_told_to_who_asks_for_it(queues: Queues) -> None:
    """The form follows the header Accept."""
    queues.add()

    plain, plain_type = exposition(queues.fleet, queues.settings)
    text, kind = exposition(queues.fleet, queues.settings, "application/openmetrics-text")

    assert plain_type.startswith("text/plain")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    assert not plain.endswith(b"# EOF\n")


def test_a_fault_of_ours_spoils_no_other_metrics(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an application's registry, an exception of ours would take all its metrics along."""
    registry = CollectorRegistry()
    registry.register(Collector(redis_url=queues.settings.redis_url))
    monkeypatch.setattr("vwo_celery.metrics.measuring.read_facts", lambda fleet: 1 / 0)

    assert generate_latest(registry) == b""


def test_a_viewer_may_scrape_all_of_it(fleet_in_trouble: Queues) -> None:
    """The Redis user of `vwo-celery acl viewer` is denied nothing, and sees what others see."""
    client, url = fleet_in_trouble.client, fleet_in_trouble.settings.redis_url
    scrape(fleet_in_trouble)  # the script of a glance is there; a viewer may give Redis none
    client.execute_command("ACL", "SETUSER", "viewer", *rules_of("viewer", "vwo").split(), ">x")
    client.execute_command("ACL", "LOG", "RESET")
    registry = CollectorRegistry()
    registry.register(Collector(redis_url=url.replace("://", "://viewer:x@")))

    text = generate_latest(registry).decode()
    denied = [entry for entry in client.acl_log() if entry["username"] == "viewer"]
    client.execute_command("ACL", "DELUSER", "viewer")

    assert value(text, "redis_up") == 1
    assert samples_of(text).keys() == samples_of(scrape(fleet_in_trouble)).keys()
    assert {entry["object"] for entry in denied} <= {"evalsha"}  # then its read-only twin is asked
