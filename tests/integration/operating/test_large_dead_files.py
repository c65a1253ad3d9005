"""Many dead letters to a file and back: page by page, in memory that does not grow with their number."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from tools.queue_states import HOLDS_SOMETHING, KEY, OPERATOR, Queues
from tools.redis_commands import commands_sent
from vwo_celery import Queue
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_dead
from vwo_celery.operating.operations import Amount
from vwo_celery.operating.operations.bulk import Brake
from vwo_celery.queue.looks import pages

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")
MOST = 10**9
#: Copy a dead letter so many times, each a ms younger than the one before it; quick, since in Redis.
COPIES = """
local line = redis.call('HGET', KEYS[2], ARGV[1])
for i = 1, tonumber(ARGV[2]) do
  local id = ARGV[1] .. '-' .. i
  redis.call('HSET', KEYS[2], id, line)
  redis.call('ZADD', KEYS[1], ARGV[3] + i, id)
  redis.call('COPY', KEYS[3], ARGV[4] .. id)
  redis.call('HINCRBY', KEYS[4], 'dead', 5)
end
"""


def with_dead(queues: Queues, batches: int) -> Queue:
    """A queue with so many dead letters."""
    queue = queues.add()
    queues.fill(queue, 5)
    dead = queues.kill(queue, "VWO answered 413")
    keys = queues.shard(queue).keys
    words = (keys.dead, keys.info, keys.batch(dead.id), keys.meta)
    since_ms = queues.fleet.now_ms() - batches
    queues.client.eval(COPIES, 4, *words, dead.id, batches - 1, since_ms, keys.batch(""))
    return queue


def export(queues: Queues, out: Callable[[bytes], object], brake: Brake | None = None) -> Amount:
    """Write all of them, line by line."""
    found = find_dead(queues.fleet, queues.registered, Filter())
    registered = queues.registered
    return operations.export_dead(
        queues.fleet, OPERATOR, registered, found, None, out=out, brake=brake
    ).written


class Gauge:
    """A brake that stops nothing, and now and then sees how much Python holds.

    Blocks of memory are counted, not bytes: tracemalloc does not see what hiredis gives back.
    """

    def __init__(self) -> None:
        self._asked = 0
        self.least = self.most = 0

    def wait(self, timeout: float) -> bool:
        """Look at each hundredth batch, and let it go on."""
        self._asked += 1
        if self._asked % 100 == 0:
            gc.collect()
            held = sys.getallocatedblocks()
            self.most = max(self.most, held)
            self.least = min(self.least or held, held)
        return False


def test_an_export_reads_a_page_and_writes_it(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of batches are read by the page, and their events one batch after the other in between."""
    monkeypatch.setattr(pages, "PAGE_BATCHES", 50)
    batches = 150
    with_dead(queues, batches)

    with commands_sent(queues.client) as sent:
        written = export(queues, lambda _: None)
        kinds = [each.split()[0].upper() for each in sent()]

    runs = [(kind, len([*run])) for kind, run in groupby(kinds)]
    reads = [number for kind, number in runs if kind == "LRANGE"]
    assert written == Amount(batches, 5 * batches)
    assert sum(reads) == batches
    assert len(reads) >= 3
    assert max(reads) <= 50
    assert len(kinds) - batches < 30


def test_memory_does_not_grow_with_the_number(
    queues: Queues, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While 400 dead letters go out, come back, and go for good, less than a block for each is held."""
    monkeypatch.setattr(pages, "PAGE_BATCHES", 20)
    with_dead(queues, 400)
    words, found, lines = (
        (queues.fleet, OPERATOR, queues.registered),
        queues.registered,
        tmp_path / "1",
    )
    out, back, away = Gauge(), Gauge(), Gauge()

    with lines.open("wb") as file:
        export(queues, file.write, out)
    with lines.open("rb") as file:
        operations.import_dead(*words, file, most_dead_events=MOST, brake=back)
    dead = find_dead(queues.fleet, found, Filter())
    removed = operations.export_dead(*words, dead, tmp_path / "2", remove=True, brake=away).removed

    assert removed == Amount(400, 2_000)
    grown = [each.most - each.least for each in (out, back, away)]
    assert all(
        gauge.least > 0 and blocks < 350
        for gauge, blocks in zip((out, back, away), grown, strict=True)
    ), grown


#: What both lines begin with.
_BEGIN = (
    b',"queue":"fme-1-c7457b8e6f71","destination":{"generation":"fme","account_id":"1","origin":'
    b'"https://dev.visualwebsiteoptimizer.com","region":"","sdk":["vwo-fme-python-sdk","1.65.0"]},'
    b'"shard":0,"batch":"0123456789abcdef",'
)
_STORY = (
    b'"attempts":3,"reason":"VWO answered 413","died_ms":1790000000000,"first_ms":1789999000000,'
)
#: Lines as 0.2.0 wrote them, and their events: of version 1, also with one that is not UTF-8, and of
#: version 2, with a mark where the key stood.
WRITTEN = {
    1: (
        b'{"version":1' + _BEGIN + b'"events":3,"bytes":29,' + _STORY
        + b'"raw":["{\\"n\\":1}",{"base64":"eyJuIjoi/yJ9"},"{\\"n\\":\\"\xc3\xbc\\"}"],"sha256":'
        b'"2fb0c1ce64e21bbe954f4f1481cc76751164d16c26254b28432d73a2dfaae00d"}\n',
        [b'{"n":1}', b'{"n":"\xff"}', b'{"n":"\xc3\xbc"}'],
    ),
    2: (
        b'{"version":2' + _BEGIN + b'"events":2,"bytes":51,' + _STORY
        + b'"raw":["{\\"n\\":1}","{\\"key\\":\\"SDK-key-4030de9f0ed1fcae-0\\"}"],"sha256":'
        b'"af15b3b2ba6a8d7ab49202ef7e92fa6ea3a48c98266525523749e1d90ec85f21",'
        b'"mark":"SDK-key-4030de9f0ed1fcae-"}\n',
        [b'{"n":1}', b'{"key":"%s"}' % KEY.encode()],
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", WRITTEN)
def test_files_of_each_version_can_be_imported(queues: Queues, version: int) -> None:
    """Whatever a later release writes, a file that 0.2.0 wrote is read: it may be all that is left."""
    queue = queues.add()
    line, events = WRITTEN[version]

    result = operations.import_dead(
        queues.fleet, OPERATOR, queues.registered, io.BytesIO(line), most_dead_events=MOST
    )

    assert (result.imported, result.refused) == (Amount(1, len(events)), ())
    (dead,) = find_dead(queues.fleet, queues.registered, Filter())
    assert queues.client.lrange(queues.shard(queue).keys.batch(dead.batch), 0, -1)[::-1] == events
    assert (dead.attempts, dead.reason, dead.died_ms) == (3, "VWO answered 413", 1_790_000_000_000)
