"""The doctor's findings on Redis, the broker, listeners and beat, without any of them running."""

from __future__ import annotations

import msgspec
import pytest

from vwo_celery.operating.doctor.broker import (
    NO_APP,
    NO_BROKER,
    BrokerFacts,
    broker_findings,
    misdirected_finding,
)
from vwo_celery.operating.doctor.finding import Finding
from vwo_celery.operating.doctor.servers import server_findings
from vwo_celery.operating.doctor.variables import mistyped_findings
from vwo_celery.operating.doctor.workers import beat_finding, lanes_finding, listener_finding
from vwo_celery.queue.looks.listening import Listening
from vwo_celery.queue.servers.facts import ServerFacts
from vwo_celery.settings import Settings

GIB = 2**30
WELL = ServerFacts(
    name="",
    product="Redis",
    version=(7, 0, 15),
    role="master",
    cluster=False,
    used_bytes=GIB // 2,
    limit_bytes=GIB,
    machine_bytes=8 * GIB,
    policy="noeviction",
    append_only=True,
    append_ok=True,
    fsync="everysec",
    snapshots=True,
    snapshot_ok=True,
    unsaved_changes=3,
    config_refused=False,
)
NO_FILE = {"append_only": False}


def judge(check: str, **changes: object) -> Finding:
    """The finding of one check for a healthy server with *changes*."""
    facts = msgspec.structs.replace(WELL, **changes)
    return next(finding for finding in server_findings(facts) if finding.check == check)


def test_a_mistyped_variable_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is told with the one that was meant, and its value, which may be a password, is not."""
    assert list(mistyped_findings()) == []

    monkeypatch.setenv("VWO_CELERY_REDIS_URI", "redis://:secret@redis")
    (found,) = mistyped_findings()

    assert (found.id, found.state) == ("VC105", "warn")
    assert "VWO_CELERY_REDIS_URI (did you mean VWO_CELERY_REDIS_URL?)" in found.what
    assert "secret" not in repr(found)


def test_a_server_as_it_should_be_has_no_fault() -> None:
    """A Redis with an append-only file, without eviction and half empty has no fault."""
    assert {finding.state for finding in server_findings(WELL)} == {"ok"}


@pytest.mark.parametrize(
    ("check", "changes", "state", "words"),
    [
        ("redis", {"version": (6, 0, 16)}, "problem", "Redis 6.0.16 lacks commands"),
        ("redis", {"version": (6, 2, 0)}, "ok", "6.2.0"),
        ("redis", {"role": "slave"}, "problem", "is a replica"),
        (
            "redis",
            {"name": "10.0.0.1:6379", "product": "Valkey"},
            "ok",
            "Valkey 7.0.15 at 10.0.0.1",
        ),
        ("eviction", {"policy": "allkeys-lru"}, "problem", "throws queued events away"),
        ("eviction", {"policy": "allkeys-lru", "limit_bytes": 0}, "warn", "once maxmemory is set"),
        ("eviction", {"policy": "volatile-ttl"}, "problem", "stored twice"),
        ("eviction", {"policy": "volatile-ttl", "limit_bytes": 0}, "warn", "once maxmemory is set"),
        ("persistence", {"fsync": "no"}, "warn", "power cut"),
        ("persistence", {"fsync": "always"}, "ok", "always"),
        ("persistence", {"append_ok": False}, "problem", "append-only file failed"),
        ("persistence", {**NO_FILE, "snapshots": False}, "problem", "loses all that is queued"),
        ("persistence", NO_FILE, "warn", "only snapshots: a crash loses"),
        ("persistence", {**NO_FILE, "snapshots": None}, "warn", "is not told"),
        ("persistence", {**NO_FILE, "snapshot_ok": False}, "problem", "last snapshot failed"),
        ("memory", {"used_bytes": int(0.85 * GIB)}, "warn", "85% of maxmemory"),
        ("memory", {"used_bytes": int(0.97 * GIB)}, "problem", "refused when it is full"),
        ("memory", {"limit_bytes": 0}, "ok", "no maxmemory is set"),
        ("memory", {"limit_bytes": 0, "used_bytes": 7 * GIB}, "warn", "of the machine's memory"),
        ("memory", {"limit_bytes": 0, "machine_bytes": 0}, "ok", "512.0 MiB in use"),
        ("config", {"config_refused": True}, "ok", "managed servers"),
    ],
)
def test_each_fault_of_a_server(
    check: str, changes: dict[str, object], state: str, words: str
) -> None:
    """Each finding has its state, says what is true, and names the remedy unless all is well."""
    finding = judge(check, **changes)

    assert finding.state == state
    assert words in finding.what
    assert bool(finding.remedy) == (state != "ok")


BROKER = BrokerFacts(url="redis://broker", queue="events", workers=("w1", "w2"), consumers=("w1",))


@pytest.mark.parametrize(
    ("changes", "listeners", "state", "words"),
    [
        ({}, ["h:1"], "ok", "1 worker consumes Celery queue 'events'"),
        ({"consumers": ()}, ["h:1"], "problem", "nobody consumes Celery queue 'events'; 2 workers"),
        ({"consumers": (), "workers": ()}, ["h:1"], "warn", "no worker answered, though 1"),
        ({"consumers": (), "workers": ()}, None, "warn", "whether one listens cannot be read"),
        ({"strangers": ("w1",)}, ["h:1"], "problem", "w1 consumes Celery queue 'events' without"),
    ],
)
def test_who_consumes_our_tasks(
    changes: dict[str, object], listeners: list[str] | None, state: str, words: str
) -> None:
    """A Celery queue that nobody consumes, or only workers that lack our tasks, is a problem."""
    reached, consumers = broker_findings(msgspec.structs.replace(BROKER, **changes), listeners)

    assert (reached.check, reached.state) == ("broker", "ok")
    assert (consumers.check, consumers.state) == ("consumers", state)
    assert words in consumers.what
    assert bool(consumers.remedy) == (state != "ok")


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"hasty": {"w1": 5.0}}, "time limits", "cut off in its POST by w1 after 5 s"),
        ({"refusing": ("w1",)}, "serializers", "w1 does not accept the task messages"),
    ],
)
def test_what_a_project_sets_for_all_tasks(
    changes: dict[str, object], check: str, words: str
) -> None:
    """A worker whose settings cut our tasks off, or refuse their messages, is a problem."""
    *_, finding = broker_findings(msgspec.structs.replace(BROKER, **changes), ["h:1"])

    assert (finding.check, finding.state) == (check, "problem")
    assert words in finding.what
    assert finding.remedy


@pytest.mark.parametrize(
    ("age_seconds", "namespace", "words"),
    [
        (60, "staging", ["60 s ago a worker got a task message of namespace 'staging'"]),
        (60, "", ["60 s ago a worker got a task message of another fleet"]),
        (7200, "staging", []),
    ],
)
def test_messages_of_another_fleet(age_seconds: int, namespace: str, words: list[str]) -> None:
    """Messages of another fleet within the last hour are a warning that leads to a celery_queue."""
    now = 1_000_000_000
    found = list(misdirected_finding(now - 1000 * age_seconds, namespace, now))

    assert [each in finding.what for each, finding in zip(words, found, strict=True)] == [
        True for _ in words
    ]
    assert all("VWO_CELERY_CELERY_QUEUE" in finding.remedy for finding in found)
    assert list(misdirected_finding(0, "", now)) == []


def test_without_workers_there_is_one_problem() -> None:
    """That no worker listens is the cause; that nobody consumes is no second problem."""
    facts = BrokerFacts(url="redis://b", queue="celery")

    (reached,) = broker_findings(facts, [])

    assert reached.state == "ok"


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        (BrokerFacts(url="amqp://b", error="refused"), "problem", "cannot be reached: refused"),
        (BrokerFacts(url="redis://b", cluster=True), "problem", "Celery cannot use as broker"),
        (BrokerFacts(url="sqs://b", unchecked="not known"), "ok", "was not tried: not known"),
    ],
)
def test_a_broker_that_cannot_be_asked(facts: BrokerFacts, state: str, words: str) -> None:
    """If the broker cannot be asked, there is no finding on consumers."""
    (finding,) = broker_findings(facts, [])

    assert (finding.check, finding.state) == ("broker", state)
    assert words in finding.what


@pytest.mark.parametrize(
    ("error", "trouble", "id_", "remedy"),
    [
        (
            "(403) ACCESS_REFUSED - Login was refused",
            "password",
            "VC501",
            "correct user and password",
        ),
        ("(403) ACCESS_REFUSED - access to queue 'q'", "password", "VC503", "set_permissions"),
        ("(530) NOT_ALLOWED - access to vhost '/' refused", "other", "VC503", "set_permissions"),
        ("(530) NOT_ALLOWED - vhost x not found", "other", "VC501", "correct the virtual host"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED]", "tls", "VC501", "broker_use_ssl"),
        ("broker_url must be set", NO_BROKER, "VC501", "set broker_url"),
        ("there is no Celery app 'x'", NO_APP, "VC501", "correct --app"),
        ("refused", "refused", "VC501", "start it"),
    ],
)
def test_the_remedy_follows_what_keeps_celery_from_its_broker(
    error: str, trouble: str, id_: str, remedy: str
) -> None:
    """Nobody is told to start a broker that refuses a user, a virtual host, or was never asked."""
    (finding,) = broker_findings(BrokerFacts(url="amqp://b", error=error, trouble=trouble), [])

    assert finding.id == id_
    assert error in finding.what
    assert remedy in finding.remedy
    assert ("start it" in finding.remedy) == (remedy == "start it")


def test_busy_lanes_are_told() -> None:
    """Where task messages wait for long, the doctor leads to a Celery queue of our own."""
    assert lanes_finding(0).state == lanes_finding(4.9).state == "ok"
    busy = lanes_finding(23)
    assert busy.state == "warn"
    assert "waits 23 s" in busy.what
    assert "celery_queue" in busy.remedy


def test_somebody_has_to_listen() -> None:
    """Without a listener, full batches wait for the sweep, and there may be no worker at all."""
    assert listener_finding([Listening("host:1", 2.0)]).state == "ok"
    assert listener_finding([]).state == "problem"


@pytest.mark.parametrize(
    ("ages", "interval", "state", "words"),
    [
        ({"beat": 2}, 1, "ok", "2 s ago"),
        ({"beat": 2, "listener": 90}, 1, "ok", "2 s ago"),
        (
            {"beat": 400, "listener": 2},
            1,
            "warn",
            "beat was last seen 7 min ago; the workers' listeners",
        ),
        ({"listener": 2}, 1, "warn", "beat has never been seen; the workers' listeners"),
        ({"beat": 400, "listener": 400}, 1, "problem", "nobody sweeps"),
        ({}, 1, "problem", "beat has never been seen, and nobody sweeps"),
        ({"beat": 170}, 60, "ok", "3 min ago"),
        ({"beat": 29}, 1, "ok", "29 s ago"),
    ],
)
def test_somebody_has_to_sweep(
    ages: dict[str, int], interval: float, state: str, words: str
) -> None:
    """Beat or a listener has to sweep; a silence is a problem after some intervals of the sweep."""
    now = 1_000_000_000
    sweeps = {by: now - 1000 * age for by, age in ages.items()}

    finding = beat_finding(sweeps, now, Settings(sweep_interval_seconds=interval))

    assert finding.state == state
    assert words in finding.what
