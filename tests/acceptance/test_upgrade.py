"""This release and the one before it on one Redis, in either order: a deployment, and its rollback.

The release before is the wheel that was shipped; it lies in tests/upgrade, with the data that
releases stored.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import vwo_celery
from lua.glancing import check_glance
from tools.processes import Process, Processes
from tools.waiting import wait_until
from upgrade import releases
from upgrade.releases import Release, Stored, release_before, this_release
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.inspector import Ledger
from vwo_celery.queue import fleet as queues
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.looks.tallies import read_tallies
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words import counts
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.keys import fleet_keys
from vwo_celery.queue.work.stranded import restore
from vwo_celery.testing import Fault, Standin

UPGRADE = Path(releases.__file__).parent
EVENTS = 600
PER_REQUEST = 50
#: Lanes of two workers.
LANES = 4
ENV = {
    "VWO_CELERY_SWEEP_INTERVAL_SECONDS": "0.2",
    "VWO_CELERY_BACKOFF_BASE_SECONDS": "0.1",
    "VWO_CELERY_BACKOFF_MAX_SECONDS": "1",
    "VWO_CELERY_LEASE_SECONDS": "5",
    "VWO_CELERY_REQUEST_TIMEOUT_SECONDS": "4",
}
#: Fields of a future release.
LATER_FIELDS = {"later_count": "7", "later:by_name": "x", "dropped_later_ms": "1"}
WAIT_SECONDS = 60.0
_START_MS = 60_000

pytestmark = pytest.mark.declared_keys("*")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The release before this one, as shipped."""
    return release_before(tmp_path_factory.mktemp("release"))


@pytest.fixture
def this() -> Release:
    """The release under test."""
    return this_release()


@pytest.fixture(scope="module")
def stored_by_this(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Data that this release stores, in every state."""
    return this_release().store(tmp_path_factory.mktemp("stored") / "this.json")


class Fleet:
    """Workers, beats and applications of both releases on one Redis."""

    def __init__(self, redis_url: str, standin: Standin, folder: Path) -> None:
        self.redis_url, self.standin, self.folder = redis_url, standin, folder
        self._queues = queues.Fleet(redis_py.Redis.from_url(redis_url), "vwo")
        env = {
            **ENV,
            "VWO_CELERY_REDIS_URL": redis_url,
            "VWO_CELERY_ALLOWED_HOSTS": standin.netloc,
        }
        self._programs = Processes(folder, env=env, stop_timeout_seconds=45)

    def worker(self, release: Release, name: str) -> Process:
        """Start a Celery worker; it accepts tasks."""
        worker = self._celery(release, name, "worker", "--concurrency=2", "--without-mingle")
        worker.wait_for_log("ready.")
        return worker

    def beat(self, release: Release) -> Process:
        """Start a Celery beat."""
        schedule = f"--schedule={self.folder / 'schedule'}"
        return self._celery(release, "beat", "beat", schedule)

    def produce(self, release: Release, name: str, events: int = EVENTS) -> Process:
        """Run an application that enqueues the given number of events and ends."""
        program = ("python", str(UPGRADE / "produce.py"), self.standin.url, name, str(events))
        return self._start(release, name, *program)

    def produce_newer(self, release: Release, events: int) -> Process:
        """Run an application with queues that the release before cannot send."""
        program = ("python", str(UPGRADE / "produce_newer.py"), self.standin.url, str(events))
        return self._start(release, "newer", *program)

    def _celery(self, release: Release, name: str, *words: str) -> Process:
        program = ("python", "-m", "celery", "-A", "upgrade_app")
        return self._start(release, name, *program, *words, "--loglevel=INFO")

    def _start(self, release: Release, name: str, *program: str) -> Process:
        process = self._programs.start(*program, name=name, PYTHONPATH=release.path)
        process.wait_for_log(f"release {release.version}")
        return process

    def command(self, release: Release, *words: str) -> Any:
        """The output of that release's `vwo-celery … --json`, which must succeed."""
        return release.command(*words, cwd=self.folder, redis_url=self.redis_url)

    def ledgers(self) -> list[Ledger]:
        """The ledgers of all queues, read by this process."""
        registered = self._queues.registrations().readable
        return [view.ledger for view in inspector.view_queues(self._queues, registered)]

    def wait_for_all(self) -> None:
        """Return once every event of every queue is delivered."""

        def undelivered() -> int:
            return sum(each.accepted - each.delivered - each.dropped for each in self.ledgers())

        wait_until(
            lambda: not undelivered(), WAIT_SECONDS, what="all delivered", every_seconds=0.05
        )

    def in_flight(self) -> int:
        """The events in flight."""
        return sum(each.in_flight for each in self.ledgers())

    def names(self) -> Counter[str]:
        """The number of times that VWO accepted each event."""
        return Counter(map(name_of, self.standin.events))

    def stop(self) -> None:
        """Stop all programs."""
        self._programs.stop()


@pytest.fixture
def fleet(redis_url: str, standin: Standin, tmp_path: Path) -> Iterator[Fleet]:
    """Both releases' programs; a test starts those it needs."""
    fleet = Fleet(redis_url, standin, tmp_path)
    try:
        yield fleet
    finally:
        fleet.stop()


def name_of(event: Any) -> str:
    """The name that identifies an event."""
    return str(event["u"] if "u" in event else event["d"]["visId"])


def now_ms(redis: redis_py.Redis) -> int:
    """Redis' time."""
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds // 1000


def comparable(told: dict[str, Any]) -> dict[str, Any]:
    """A release's output about a Redis in comparable form: sorted, without the release's name.

    To 0.1.0 a batch that waits after a failed attempt is ready again once it is due; since 0.2.0 it is
    released until it is claimed. So these two states are one here.
    """
    facts = deepcopy({name: fact for name, fact in told.items() if name != "version"})
    facts["ledger"].sort(key=lambda each: each["queue"])
    for each in facts["ledger"]:
        each["pending"] += each.pop("released")
    for batch in (batch for shard in facts["shards"].values() for batch in shard["batches"]):
        batch["state"] = batch["state"].replace("released", "ready")
    return facts


def without_bytes(told: dict[str, Any]) -> dict[str, Any]:
    """The same, but for the bytes that shards hold."""
    facts = comparable(told)
    for shard in facts["shards"].values():
        del shard["counted_bytes"]
    return facts


def as_this_release_tells(told: dict[str, Any]) -> dict[str, Any]:
    """What an earlier release told, in this one's words: released is also what is due again."""
    ledgers = {each["queue"]: dict(each) for each in told["ledger"]}
    shards = {name: {**shard} for name, shard in told["shards"].items()}
    for name, shard in shards.items():
        shard["batches"] = [dict(batch) for batch in shard["batches"]]
        for batch in shard["batches"]:
            if batch["state"] == "ready" and batch["attempt"] and batch["error"]:
                batch["state"] = "released"
                ledger = ledgers[name.rpartition(":")[0]]
                ledger["pending"] -= batch["events"]
                ledger["released"] += batch["events"]
    return {**told, "ledger": list(ledgers.values()), "shards": shards}


def keep_listening(redis: redis_py.Redis) -> None:
    """Keep signs of life valid while a program starts, which may take long on a busy machine."""
    listeners = fleet_keys("vwo").listeners
    for name in redis.zrange(listeners, 0, -1):
        redis.zadd(listeners, {name: now_ms(redis) + _START_MS})


# --- one release reads the other's data -----------------------------------------------------------


@pytest.mark.parametrize("path", releases.STORED, ids=lambda path: path.stem)
@pytest.mark.parametrize("fields", [{}, LATER_FIELDS], ids=["as it was", "and later fields"])
def test_this_release_sees_what_earlier_ones_stored(
    redis: redis_py.Redis, redis_url: str, this: Release, tmp_path: Path, path: Path, fields: Any
) -> None:
    """States, counts, errors, pauses, limits and the ledger are those that the earlier release
    reported.

    Fields that this release does not know change nothing.
    """
    stored = Stored.load(path).at(now_ms(redis))
    stored.with_fields(fields).write(redis)
    keep_listening(redis)

    told = this.told(cwd=tmp_path, redis_url=redis_url)

    assert comparable(told) == comparable(as_this_release_tells(stored.told))
    assert all(each["balanced"] for each in told["ledger"])


def test_the_release_before_sees_what_this_one_stores(
    redis: redis_py.Redis, redis_url: str, before: Release, stored_by_this: Stored, tmp_path: Path
) -> None:
    """After a rollback the release before reads everything: it ignores new fields and keys.

    Events that append.lua stored since the last push are to it as those of another program: it counts
    them, though not their bytes.
    """
    stored = stored_by_this.at(now_ms(redis))
    stored.write(redis)
    keep_listening(redis)

    told = before.told(cwd=tmp_path, redis_url=redis_url)

    assert without_bytes(told) == without_bytes(stored.told)


# --- looks at what a release stored that keeps no sets for them -----------------------------------

#: A worker of that release: it claims three batches, releases one, acks one, and dies with the third.
WORK_OF_ANOTHER = """
import sys, redis
from vwo_celery.fleet import Fleet
shard = Fleet(redis.Redis.from_url(sys.argv[1]), "vwo").shard(sys.argv[2], 0)
released, acked, kept = (shard.claim(token="", lease_seconds=600) for _ in range(3))
assert shard.release(released, delay_seconds=600, error="HTTP 503")
assert shard.ack(acked.id)
"""


@pytest.mark.parametrize("path", releases.STORED, ids=lambda path: path.stem)
def test_a_look_at_what_an_earlier_release_stored(redis: redis_py.Redis, path: Path) -> None:
    """A glance of such a shard says that it is incomplete, until the patrol has mended it."""
    Stored.load(path).at(now_ms(redis)).write(redis)
    all_queues = queues.Fleet(redis, "vwo")
    shards = [
        all_queues.shard(queue, number)
        for queue, found in all_queues.registrations().readable.items()
        for number in range(found.shards)
    ]
    full = [shard for shard in shards if redis.zcard(shard.keys.ready)]

    before = take_glances(full)
    for shard in shards:
        restore(shard)

    assert full
    assert all(glance.incomplete for glance in before)
    for shard in shards:
        check_glance(shard)


def nine_events_by_two(redis: redis_py.Redis, redis_url: str) -> Shard:
    """The shard of a queue that holds nine events, two a request."""
    queue = vwo_celery.connect(
        vwo_celery.Destination(account_id=1, sdk_key="k" * 32, generation="fme"),
        batch_event_data={"events_per_request": 2, "request_time_interval": 60},
        redis_url=redis_url,
    )
    queue.enqueue_many([{"n": number} for number in range(9)])
    return queues.Fleet(redis, "vwo").shard(queue.name, 0)


def test_a_look_beside_a_worker_of_the_release_before(
    redis: redis_py.Redis, redis_url: str, before: Release, tmp_path: Path
) -> None:
    """What such a worker leaves out is never told as a fact, and mended by the patrol."""
    shard = nine_events_by_two(redis, redis_url)
    check_glance(shard)

    before.run(sys.executable, "-c", WORK_OF_ANOTHER, redis_url, shard.queue, cwd=tmp_path)
    (during,) = take_glances([shard])
    restore(shard)

    assert during.incomplete
    assert (during.in_flight_events, during.undelivered, during.delivered) == (2, 7, 2)
    check_glance(shard)


def test_what_the_release_before_does_is_not_counted(
    redis: redis_py.Redis, redis_url: str, before: Release, tmp_path: Path
) -> None:
    """Its workers settle batches without a tally; those of this release beside them are counted."""
    shard = nine_events_by_two(redis, redis_url)
    batch = shard.claim(token="", lease_seconds=600)
    assert isinstance(batch, Batch)
    counted = counts.summed(counts.request("200", seconds=0.1, events=2), counts.accepted(1.0))
    assert shard.ack(batch.id, counts=counted)
    (own,) = read_tallies([shard])

    before.run(sys.executable, "-c", WORK_OF_ANOTHER, redis_url, shard.queue, cwd=tmp_path)

    assert read_tallies([shard]) == [own]
    assert (own.answers, sum(own.ages)) == ({"200": 1}, 1)
    (ledger,) = before.command("ledger", cwd=tmp_path, redis_url=redis_url)
    assert (ledger["delivered"], ledger["balanced"]) == (4, True)


# --- one release delivers the other's events ------------------------------------------------------


@pytest.mark.parametrize("path", releases.STORED, ids=lambda path: path.stem)
def test_this_release_delivers_what_earlier_ones_stored(
    fleet: Fleet, redis: redis_py.Redis, before: Release, this: Release, path: Path
) -> None:
    """Each event of an earlier release is delivered once, whatever its state, also with the old beat."""
    _deliver_all(fleet, redis, Stored.load(path), by=this, beside=before)


def test_the_release_before_delivers_what_this_one_stores(
    fleet: Fleet, redis: redis_py.Redis, before: Release, this: Release, stored_by_this: Stored
) -> None:
    """After a rollback every event is delivered once, also with this release's beat still running."""
    _deliver_all(fleet, redis, stored_by_this, by=before, beside=this)


def _deliver_all(
    fleet: Fleet, redis: redis_py.Redis, stored: Stored, *, by: Release, beside: Release
) -> None:
    stored = stored.bound_for(fleet.standin.url).at(now_ms(redis) - 3_600_000)
    stored.write(redis)

    fleet.beat(beside)
    fleet.worker(by, "worker")
    fleet.command(by, "resume", "--all")
    fleet.command(by, "dead", "redrive")

    fleet.wait_for_all()
    assert fleet.names() == Counter(map(name_of, stored.events))
    _assert_balanced(fleet, by, beside)


def _assert_balanced(fleet: Fleet, *those: Release) -> None:
    ledgers = [fleet.command(release, "ledger") for release in those]
    assert all(each["balanced"] for ledger in ledgers for each in ledger)
    assert ledgers[0] == ledgers[-1]


# --- both releases at work ------------------------------------------------------------------------


def test_both_releases_work_on_one_queue(fleet: Fleet, before: Release, this: Release) -> None:
    """Producers, workers and beat of both releases run together, with releases and SIGKILL, as in a
    deployment.

    No event is lost. Duplicates are whole batches that VWO had accepted from a worker that was
    killed before it could ack.
    """
    both = {"before": before, "this": this}
    fleet.standin.fail(503, "reset", 500, Fault(status=429, headers=(("Retry-After", "1"),)))
    workers = [fleet.worker(release, f"worker-{name}") for name, release in both.items()]
    fleet.beat(before)
    producers = [fleet.produce(release, name) for name, release in both.items()]
    assert [producer.wait() for producer in producers] == [0, 0]

    fleet.standin.fail(*["hang"] * 3 * LANES)
    producers = [fleet.produce(release, f"late-{name}") for name, release in both.items()]
    wait_until(lambda: fleet.in_flight() >= LANES * PER_REQUEST, WAIT_SECONDS)
    for worker in workers:
        worker.kill()
    fleet.standin.heal()
    for worker in workers:
        worker.start()
    assert [producer.wait() for producer in producers] == [0, 0]

    fleet.wait_for_all()
    applications = [f"{late}{name}" for late in ("", "late-") for name in both]
    names = {f"{name}-{number}" for name in applications for number in range(EVENTS)}
    assert set(fleet.names()) == names
    assert Counter(map(name_of, _once(fleet.standin))) == dict.fromkeys(fleet.names(), 1)
    _assert_balanced(fleet, before, this)


def _once(standin: Standin) -> list[Any]:
    """The events of the accepted batches, each batch once however often it arrived."""
    accepted = {batch.body: batch for batch in standin.batches if 200 <= batch.status < 300}
    return [event for batch in accepted.values() for event in batch.events]


@pytest.mark.parametrize("order", ["upgrade", "rollback"])
def test_a_producer_of_one_release_and_a_worker_of_the_other(
    fleet: Fleet, before: Release, this: Release, order: str
) -> None:
    """Between releases every event is delivered once, by size and by age, with listeners' sweeps only."""
    producing, working = (before, this) if order == "upgrade" else (this, before)
    fleet.worker(working, "worker")

    producer = fleet.produce(producing, "app", events=130)

    assert producer.wait() == 0
    wait_until(lambda: len(fleet.standin.events) >= 130, WAIT_SECONDS)
    fleet.wait_for_all()
    assert fleet.names() == Counter(f"app-{number}" for number in range(130))
    _assert_balanced(fleet, before, this)


def test_a_rolling_upgrade_and_back_under_load(
    fleet: Fleet, before: Release, this: Release
) -> None:
    """Two workers are replaced one by one while applications of both releases enqueue, and then back.

    Each is told to end as the next one listens, as in a deployment; every event is delivered once.
    """
    running = [fleet.worker(before, f"old-{number}") for number in range(2)]
    applications = []
    for step, release in enumerate((this, this, before, before)):
        running.append(fleet.worker(release, f"worker-{step}"))
        names = {f"before-{step}": before, f"this-{step}": this}
        producers = [fleet.produce(each, name) for name, each in names.items()]
        running.pop(0).stop()
        assert [producer.wait() for producer in producers] == [0, 0]
        applications += names

    fleet.wait_for_all()
    assert fleet.names() == Counter(
        f"{name}-{number}" for name in applications for number in range(EVENTS)
    )
    _assert_balanced(fleet, before, this)


# --- queues that the release before cannot send ---------------------------------------------------


def test_a_worker_of_the_release_before_leaves_what_it_cannot_send(
    fleet: Fleet, before: Release, this: Release
) -> None:
    """A worker of 0.1 that hears the wake-ups of such queues sends nothing of them, and loses nothing;
    beside it, a worker of this release delivers every event once, as its SDK said it.
    """
    count = 30
    old = fleet.worker(before, "worker-before")
    fleet.beat(before)
    assert fleet.produce_newer(this, count).wait() == 0
    for generation in ("fme+query", "legacy+query", "single"):
        old.wait_for_log(f"Invalid enum value '{generation}'")

    found = fleet.ledgers()
    assert fleet.standin.batches + fleet.standin.singles == []
    assert [(each.accepted, each.pending) for each in found] == [(count, count)] * 3
    assert [(each.dead, each.in_flight, each.released) for each in found] == [(0, 0, 0)] * 3

    fleet.worker(this, "worker-this")
    fleet.wait_for_all()
    told = [*fleet.standin.events, *(json.loads(each.body) for each in fleet.standin.singles)]
    assert Counter(map(name_of, told)) == Counter(
        f"{what}-{number}" for what in ("silent", "java", "single") for number in range(count)
    )
    assert {tuple(each.query) for each in fleet.standin.batches} == {
        ("a", "env"), ("a", "sd", "sv", "env", "eb")
    }  # fmt: skip
    assert fleet.standin.disagreements() == []
    assert all(each.balanced for each in fleet.ledgers())
