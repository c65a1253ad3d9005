"""A Redis Cluster without replicas whose master dies or hangs: what lies elsewhere goes on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import RedisError

import vwo_celery
from tools.command_line import run_command
from tools.installation import KEY, event
from tools.queue_states import OPERATOR
from tools.redis_groups import ClusterGroup
from tools.under_load import LoadedInstallation
from tools.waiting import wait_until
from vwo_celery.connections import open_client, open_hint_client, open_worker_client
from vwo_celery.connections.troubles import remedy_of
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.operations import pause, resume
from vwo_celery.producing import aio
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.keys import fleet_keys, shard_keys
from vwo_celery.queue.work import sweeping
from vwo_celery.receipts import IN_REDIS, SPOOLED
from vwo_celery.testing import RedisServer, Standin

pytestmark = pytest.mark.declared_keys("broker:*")
KEYS = fleet_keys("vwo")
#: Keys that all queues share.
SHARED = ("queues", "watched", "wakeups", "pulse", "listeners")
#: Events in a full batch of these queues.
FULL = 5


@pytest.fixture
def group() -> Iterator[ClusterGroup]:
    """Three masters without replicas."""
    with ClusterGroup(3, 0, "--cluster-require-full-coverage", "no") as running:
        yield running


def holder_of(group: ClusterGroup, key: str) -> RedisServer:
    """The master that holds a key."""
    return group.owner_of(group.slot_of(key))


def destination_at(group: ClusterGroup, node: RedisServer, origin: str) -> vwo_celery.Destination:
    """A destination whose queue lies on *node*."""
    return next(
        found
        for account in range(1, 1000)
        for found in [
            vwo_celery.Destination(
                account_id=account, sdk_key=KEY, generation="legacy", base_url=origin
            )
        ]
        if holder_of(group, shard_keys("vwo", found.queue, 0).meta) is node
    )


class Parts(LoadedInstallation):
    """A queue on each master of a Cluster, and workers."""

    def __init__(
        self, group: ClusterGroup, broker_url: str, standin: Standin, folder: Path
    ) -> None:
        super().__init__(group.url, broker_url, standin, folder, spool_dir=str(folder / "spool"))
        self.queues = [
            vwo_celery.connect(
                destination_at(group, node, standin.url),
                batch_event_data={"events_per_request": FULL, "request_time_interval": 1},
                **self.settings,
            )
            for node in group.masters
        ]


# A part that hangs is waited for: the last one holds no key that workers or producers share.
@pytest.mark.parametrize(
    ("which", "how"), [(0, "kill"), (1, "kill"), (2, "kill"), (0, "pause"), (1, "pause")]
)
def test_a_part_that_is_away_takes_only_its_own_queues(
    group: ClusterGroup, redis_url: str, standin: Standin, tmp_path: Path, which: int, how: str
) -> None:
    """Queues on living masters are stored and delivered, full batches and aged ones; others later."""
    with Parts(group, redis_url, standin, tmp_path) as parts:
        parts.worker()
        for queue in parts.queues:
            assert queue.enqueue(event(f"{queue.name} before")) == IN_REDIS
        parts.wait_for_delivery(f"{queue.name} before" for queue in parts.queues)
        living = [queue for i, queue in enumerate(parts.queues) if i != which]
        getattr(group.masters[which], how)()
        kept = parts.queues[which].enqueue(event("kept"))

        receipts, names = [], []
        for n in range(2 * FULL + 1):
            for queue in living:
                names.append(f"{queue.name} {n}")
                receipts.append(queue.enqueue(event(names[-1])))
        parts.wait_for_delivery(names, 60)

        assert receipts == [IN_REDIS] * len(receipts)
        assert kept == SPOOLED
        assert "kept" not in parts.delivered()
        master = group.masters[which]
        master.resume() if how == "pause" else master.start()
        parts.wait_for_delivery(["kept"], 40)
        assert parts.sent_twice() == {}


def test_a_worker_that_starts_without_the_list_of_queues(
    group: ClusterGroup, redis_url: str, standin: Standin, tmp_path: Path
) -> None:
    """It finds the queues on living masters, and their registrations with their shards."""
    with Parts(group, redis_url, standin, tmp_path) as parts:
        for queue in parts.queues:
            assert queue.enqueue(event(f"{queue.name} early")) == IN_REDIS
        lost = holder_of(group, KEYS.queues)
        lost.kill()
        living = [
            q for q, node in zip(parts.queues, group.masters, strict=True) if node is not lost
        ]

        parts.worker()

        parts.wait_for_delivery((f"{queue.name} early" for queue in living), 60)
        lost.start()  # empty, since it keeps no file: the list of queues is written again
        fleet = Fleet(open_client(group.url, timeout_seconds=5), "vwo")
        wait_until(
            lambda: {queue.name for queue in living} <= set(fleet.registrations().readable), 30
        )


def test_a_first_event_without_the_list_of_queues(
    group: ClusterGroup, redis_url: str, standin: Standin, tmp_path: Path
) -> None:
    """A process that starts while the shared keys are away stores events, and announces them later."""
    with Parts(group, redis_url, standin, tmp_path) as parts:
        lost = holder_of(group, KEYS.queues)
        lost.kill()
        living = [
            q for q, node in zip(parts.queues, group.masters, strict=True) if node is not lost
        ]

        receipts = [queue.enqueue(event(f"{queue.name} first")) for queue in living]
        parts.worker()
        parts.wait_for_delivery((f"{queue.name} first" for queue in living), 60)

        assert receipts == [IN_REDIS] * 2
        lost.start()
        fleet = Fleet(open_client(group.url, timeout_seconds=5), "vwo")
        wait_until(
            lambda: {queue.name for queue in living} <= set(fleet.registrations().readable), 30
        )


def test_a_queue_of_several_shards_uses_the_living_ones(
    group: ClusterGroup, tmp_path: Path
) -> None:
    """Once a shard's part is found to be away, events go to the queue's other shards, not to disk."""
    destination = vwo_celery.Destination(account_id=1, sdk_key=KEY, generation="legacy")
    queue = vwo_celery.connect(destination, redis_url=group.url, spool_dir=str(tmp_path), shards=12)
    assert all(queue.enqueue(event(str(n))) == IN_REDIS for n in range(30))
    lost = holder_of(group, producer_of(queue).shards[0].keys.meta)
    lost.kill()

    receipts = [queue.enqueue(event(str(n))) for n in range(200)]

    assert receipts.count(SPOOLED) <= 2
    assert set(receipts) <= {IN_REDIS, SPOOLED}
    assert receipts[-50:] == [IN_REDIS] * 50


@pytest.mark.parametrize("which", range(3))
def test_a_process_that_starts_while_a_part_is_away(group: ClusterGroup, which: int) -> None:
    """It connects to the living parts, with threads as with asyncio, whichever part is away."""
    living = [node for i, node in enumerate(group.masters) if i != which]
    destinations = [destination_at(group, node, "http://localhost:1") for node in living]
    group.masters[which].kill()

    async def store() -> list[object]:
        queues = [
            aio.connect(each, redis_url=group.url, spool_dir="", enqueue_timeout_seconds=3.0)
            for each in destinations
        ]
        receipts = [await queue.enqueue(event("a")) for queue in queues]
        for queue in queues:
            await queue.aclose()
        return receipts

    assert asyncio.run(store()) == [IN_REDIS] * 2


def test_signs_of_life_are_not_waited_for(group: ClusterGroup) -> None:
    """A worker's notes on a part that is away are given up at once, and raise nothing."""
    client = open_worker_client(group.url)
    fleet = Fleet(client, "vwo", open_hint_client(group.url, client))
    fleet.note_task()
    holder_of(group, KEYS.pulse).kill()
    holder_of(group, KEYS.listeners).kill()
    asked: list[object] = []
    execute = fleet.client.execute_command
    fleet.client.execute_command = lambda *words, **options: asked.append(words) or execute(*words)

    for _ in range(100):
        fleet.note_task()
        fleet.note_sweep("beat")
        fleet.note_rescue()
        fleet.note_listener("a worker")
        fleet.count_receiver_errors("legacy-1-a", 1)

    assert asked == []  # the client that waits and retries is not used
    assert fleet.hints.is_resting(KEYS.pulse)


def test_what_was_watched_before_an_absence_is_watched_after_it(group: ClusterGroup) -> None:
    """A worker that knew the watched shards announces them to a part that comes back empty."""
    client = open_client(group.url, timeout_seconds=5)
    fleet = Fleet(client, "vwo", client)
    lost = holder_of(group, KEYS.watched)
    alive = next(node for node in group.masters if node is not lost)
    destination = destination_at(group, alive, "http://localhost:1")
    queue = vwo_celery.connect(destination, redis_url=group.url, spool_dir="")
    assert queue.enqueue(event("a")) == IN_REDIS
    name = producer_of(queue).shards[0].keys.name
    sweeping.sweep(fleet, by="listener")
    lost.kill()
    assert [shard.keys.name for shard in fleet.watched()] == [name]
    lost.start()

    def is_watched() -> bool:
        sweeping.sweep(fleet, by="listener")
        with suppress(RedisError):
            return bool(client.sismember(KEYS.watched, name))
        return False

    wait_until(is_watched, 30, what="a watch of the shard")


@pytest.mark.parametrize("which", range(3))
def test_operators_see_what_lies_on_the_living_parts(group: ClusterGroup, which: int) -> None:
    """All commands show the other queues; status, ledger and doctor name the part that is away."""
    lost, living, away = group.masters[which], set(), set()
    for node in group.masters:
        destination = destination_at(group, node, "http://localhost:1")
        queue = vwo_celery.connect(destination, redis_url=group.url, spool_dir="")
        assert queue.enqueue(event("a")) == IN_REDIS
        (away if node is lost else living).add(queue.name)
    lost.kill()
    program = "from vwo_celery.cli import main; main()"
    command = [sys.executable, "-c", program, "--redis-url", group.url]

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout

    def queues(found: list[dict[str, str]]) -> set[str]:
        """This test's own: what earlier ones left on the disk may come back meanwhile."""
        return {each["queue"] for each in found} & (living | away)

    code, text = run("status", "--json")
    status = json.loads(text)
    assert "queues" in status, text
    assert (code, queues(status["queues"])) == (1, living)
    (part,) = status["parts_away"]
    assert part["name"] == f"127.0.0.1:{lost.port}"
    code, text = run("ledger", "--json")
    assert (code, queues(json.loads(text))) == (1, living)
    assert all(each["balanced"] and each["accepted"] == 1 for each in json.loads(text))
    assert part["name"] in run("status")[1]
    assert part["name"] in run("ledger")[1]
    code, text = run("doctor", "--json")
    findings = json.loads(text)
    assert code == 1
    assert any(part["name"] in each["what"] and each["state"] == "problem" for each in findings)
    assert "ledger" in {each["check"] for each in findings}  # the last check of the queues was made
    code, text = run("flush", "--json")
    assert queues(json.loads(text)) == living, text
    assert all(each["pending"] == 1 for each in json.loads(text))
    code, text = run("health")
    assert (code, "healthy" in text) == (1, True)  # events are pending, and nobody listens
    assert queues(json.loads(run("queues", "--json")[1])) == living


def test_what_is_left_out_is_not_told_as_paused(group: ClusterGroup) -> None:
    """Nor as resumed: of three queues one is, one is away, and one has shards on each part."""
    keeps = holder_of(group, KEYS.queues)
    lost = next(node for node in group.masters if node is not keeps)
    destinations = [destination_at(group, node, "http://localhost:1") for node in (keeps, lost)]
    options = {"redis_url": group.url, "spool_dir": ""}
    whole, away = (vwo_celery.connect(each, **options) for each in destinations)
    other = vwo_celery.Destination(account_id=9999, sdk_key=KEY, generation="legacy")
    partly = vwo_celery.connect(other, shards=12, **options)
    for queue in (whole, away, partly):
        assert producer_of(queue).register()
    lost.kill()
    fleet = Fleet(open_client(group.url, timeout_seconds=5), "vwo")
    wait_until(fleet.leave_parts_away, 10, what="a part that is away")
    registered = fleet.registrations().readable

    for change, told in ((pause, "paused"), (resume, "resumed")):
        with pytest.raises(QueueUnavailable, match=f"^{told} 1 queue, but not for ") as refused:
            change(
                fleet,
                OPERATOR,
                {each.name: registered[each.name] for each in (whole, away, partly)},
            )

        assert "nor for 1 other queue: the part of Redis with some of it" in str(refused.value)
        assert "CLUSTER NODES" in remedy_of(refused.value)
    words = ("--redis-url", group.url)
    flushed = run_command([*words, "flush", "--queue", away.name])
    assert "no queue that was reached" in " ".join(flushed.stdout.split())
    moved = run_command([*words, "move", "--from", away.name, "--to", whole.name, "--yes"])
    assert (moved.exit_code, "some of it, or all, is away" in moved.stderr) == (1, True)


def test_what_is_not_found_may_be_away(group: ClusterGroup) -> None:
    """Whoever asks for a queue while the list of queues is away is told that it is."""
    lost = holder_of(group, KEYS.queues)
    living = next(node for node in group.masters if node is not lost)
    queue = vwo_celery.connect(
        destination_at(group, living, "http://localhost:1"), redis_url=group.url, spool_dir=""
    )
    assert producer_of(queue).register()
    lost.kill()
    fleet = Fleet(open_client(group.url, timeout_seconds=5), "vwo")
    wait_until(fleet.leave_parts_away, 10, what="a part that is away")

    said = run_command(["--redis-url", group.url, "pause", "--queue", "fme-1-0123456789ab"])

    assert said.exit_code == 1
    assert "is registered" in said.stderr
    assert "has not answered" in said.stdout
