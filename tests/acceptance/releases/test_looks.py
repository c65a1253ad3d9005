"""Looks at what a release stored, or does meanwhile, that keeps neither sets nor tallies for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import redis as redis_py

import vwo_celery
from lua.glancing import check_glance
from tools.two_releases import now_ms
from upgrade import releases
from upgrade.releases import Release, Stored
from vwo_celery.queue import fleet as queues
from vwo_celery.queue.looks.glances import take_glances
from vwo_celery.queue.looks.tallies import read_tallies
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words import counts
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.work.stranded import restore

pytestmark = pytest.mark.declared_keys("*")


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
