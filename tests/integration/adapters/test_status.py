"""vwo-celery status: what is wrong and since when, every queue for programs, and the watch."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
import redis as redis_py

import vwo_celery
from tools.command_line import flat, run_command
from tools.queue_states import Queues
from tools.redis_commands import commands_sent, reads_batches
from tools.waiting import wait_until
from vwo_celery.operating.looks.views import Ledger, QueueView
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.holding.declines import note_decline
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.work.stranded import restore
from vwo_celery.testing import RedisServer

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "command-line.md"
#: Fields of the document that `--json` prints, and of each of its queues.
OF_DOCUMENT = {
    "redis", "namespace", "now_ms", "wrong", "listeners", "heard_age_seconds", "last_sweeps_ms",
    "waiting_wakeups", "relays", "parts_away", "wrong_types", "producers", "idle_queues",
    "queues",
}  # fmt: skip
OF_QUEUE = {
    *QueueView.__struct_fields__, "interval_seconds", "registered", "producers", "wrong",
    "told_apart_by",
}  # fmt: skip
BACKLOG = 2_000
LONGEST_SECONDS = 60

Ran = tuple[int, str]


@pytest.fixture
def run(redis_url: str) -> Callable[..., Ran]:
    """Run a command on this test's Redis: its exit code, and what it printed as one line."""

    def command(*words: str) -> Ran:
        ran = run_command(["--redis-url", redis_url, *words])
        return ran.exit_code, flat(ran.stdout)

    return command


@pytest.mark.declared_keys("*")
def test_all_is_well(queues: Queues, run: Callable[..., Ran]) -> None:
    """With events on their way and a worker, nothing is wrong: exit code 0."""
    queues.fill(queues.add(), 7)
    queues.fleet.note_listener("web1:77")

    assert run("status")[0] == 0


def _nobody(queues: Queues) -> None:
    queues.fill(queues.add(), 7)


def _paused(queues: Queues) -> None:
    queue = queues.add()
    queues.fill(queue, 7)
    queues.shard(queue).pause("VWO answered 401")


def _unreadable(queues: Queues) -> None:
    queues.add()
    queues.client.hset(queues.fleet.keys.queues, "fme-9-broken", "no JSON")


def _broken(queues: Queues) -> None:
    queues.client.set(queues.shard(queues.add()).keys.ready, "no sorted set")


def _unbalanced(queues: Queues) -> None:
    queues.client.hincrby(queues.shard(queues.add()).keys.meta, "accepted", 3)


@pytest.mark.declared_keys("*")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_nobody, "no worker listens"),
        (_paused, "paused: VWO answered 401"),
        (_unreadable, "fme-9-broken: no worker can send it: its registration cannot be read"),
        (_broken, "cannot be read by this release: the key"),
        (_unbalanced, "out of balance"),
    ],
)
def test_what_is_wrong_is_said_and_exits_1(
    queues: Queues, run: Callable[..., Ran], make: Callable[[Queues], None], words: str
) -> None:
    """Whatever is wrong has a line, and the other queues have theirs; exit code 1, also with --json."""
    other = queues.add(777)
    queues.fleet.note_listener("web1:77")
    if make is _nobody:
        queues.fleet.forget_listener("web1:77")
    make(queues)

    text, document = run("status"), run("status", "--json")

    assert words in text[1]
    assert other.name in text[1]
    assert (text[0], document[0], json.loads(document[1])["wrong"]) == (1, 1, True)


@pytest.mark.declared_keys("*")
def test_what_was_moved_away_leaves_nothing_wrong(queues: Queues, run: Callable[..., Ran]) -> None:
    """A paused queue that holds nothing is told, and is nothing wrong: no event waits in it."""
    queue, empty = queues.add(), queues.add(2)
    queues.fleet.note_listener("web1:77")
    queues.fill(queue, 2)
    queues.shard(queue).sweep(force=True, idle_ms=600_000)
    queues.release(queue, "VWO answered 401")
    for each in (queue, empty):
        queues.shard(each).pause("VWO answered 401")
        note_decline(queues.fleet, each.name, "web1:77", "this worker may not send there")

    held, nothing = run("status", "--queue", queue.name), run("status", "--queue", empty.name)

    assert (held[0], nothing[0]) == (1, 0)
    assert "paused: VWO answered 401" in nothing[1]


@pytest.mark.declared_keys("*")
def test_one_cause_is_told_once(queues: Queues, run: Callable[..., Ran]) -> None:
    """Of a queue that is stopped for what its batches failed by, VWO's answer is told once."""
    queue = queues.add()
    queues.fill(queue, 2)
    queues.shard(queue).sweep(force=True, idle_ms=600_000)
    queues.release(queue, "VWO answered 401")
    queues.shard(queue).pause("VWO answered 401")

    _, text = run("status")

    assert "of 2 events failed most often, 1 attempt so far" in text
    assert text.count("VWO answered 401") == 1


@pytest.mark.declared_keys("*")
def test_an_outage_is_one_line_with_one_beginning(queues: Queues, run: Callable[..., Ran]) -> None:
    """A queue whose circuit is open has one line, and the doctor has the same time for its beginning."""
    queue = queues.add()
    queues.fill(queue, 2)
    queues.shard(queue).sweep(force=True, idle_ms=600_000)
    queues.release(queue, "VWO answered 503")
    now_ms = queues.fleet.now_ms()
    queues.fleet.client.hset(queues.shard(queue).keys.meta, "failing_ms", now_ms - 500_000)
    queues.shard(queue).hold(now_ms + 900_000, by="outage", why="VWO answered 503")

    _, text = run("status")
    _, doctor = run("doctor")

    assert text.count(f"{queue.name}: ") == 2, "the other one is of its batch"
    lasts, rest = r"(since \S+) \(\d+ min\)", "; 2 events kept"  # the minutes may pass in between
    began = re.search(rf"VWO has accepted nothing {lasts}{rest}", text)
    told = re.search(rf"sending of {queue.name} fails {lasts}: VWO answered 503{rest}", doctor)
    assert text.count("next try") == 0
    assert began
    assert told
    assert began[1] == told[1]


@pytest.mark.declared_keys("*")
def test_dropped_events_are_told_with_their_times(queues: Queues, run: Callable[..., Ran]) -> None:
    """Each reason of a drop has a note: how many, since when, and when the last was."""
    queue = queues.add()
    queues.fill(queue, 12)
    queues.client.delete(queues.shard(queue).keys.open)
    queues.shard(queue).sweep(force=False, idle_ms=600_000)
    queues.client.hincrby(queues.shard(queue).keys.meta, "dropped:oldest", 150)
    queues.client.hincrby(queues.shard(queue).keys.meta, "accepted", 150)

    _, text = run("status")
    (view,) = json.loads(run("status", "--json")[1])["queues"]

    assert re.search(
        r"2 events dropped \(vanished\) since \d\d:\d\d:\d\d \([\d.]+ s\), the last [\d.]+ s ago",
        text,
    )
    assert "150 events dropped (oldest) by a release before 0.2.0" in text
    told = {each["reason"]: each for each in view["drops"]}
    assert (told["vanished"]["events"], told["oldest"]["last_age_seconds"]) == (2, None)
    assert 0 <= told["vanished"]["last_age_seconds"] < 600


@pytest.mark.declared_keys("*")
def test_repaired_batches_are_told(queues: Queues, run: Callable[..., Ran]) -> None:
    """A batch that no worker would have found, and that the sweep made ready again, is told."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.client.delete(queues.shard(queue).keys.ready)
    restore(queues.shard(queue))

    assert "stranded: 1 batch made ready again so far, the last 0" in run("status")[1]
    assert json.loads(run("status", "--json")[1])["queues"][0]["repaired"] == 1


@pytest.mark.declared_keys("*")
def test_queues_of_one_account_look_different(queues: Queues, run: Callable[..., Ran]) -> None:
    """Queues of one account are told apart by what differs, with the key masked."""
    for account, key, region in ((5, "1111", ""), (5, "2222", "eu01"), (6, "3333", "")):
        place = vwo_celery.Destination(
            account_id=account, sdk_key="a" * 28 + key, generation="fme", region=region
        )
        assert producer_of(
            vwo_celery.connect(place, redis_url=queues.settings.redis_url)
        ).register()

    _, text = run("status")

    assert "key …1111, region none" in text
    assert "key …2222, region eu01" in text
    assert text.count("key …") == 2
    assert "aaaa" not in text


@pytest.mark.declared_keys("*")
def test_a_look_reads_no_batches(queues: Queues, redis: redis_py.Redis) -> None:
    """At thousands of batches, no command of status, health, queues or doctor reads them all."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, BACKLOG)
    url = queues.settings.redis_url

    for words in (["status"], ["status", "--json"], ["health"], ["queues"], ["doctor"]):
        with commands_sent(redis, inside_scripts=True) as sent:
            run_command(["--redis-url", url, *words])
            commands = sent()
        assert commands
        assert [each for each in commands if reads_batches(each)] == []

    assert len(take_snapshot(queues.shard(queue)).batches) == BACKLOG


def test_every_field_is_documented() -> None:
    """The page's tables have each field of the document and of each queue, and no other."""
    section = PAGE.read_text("utf-8").split("## `vwo-celery status`")[1].split("\n## ")[0]
    of_document, of_queue = (
        re.findall(r"`([a-z_]+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
        for table in section.split("| field | means |")[1:]
    )

    assert sorted(of_document) == sorted(OF_DOCUMENT)
    assert sorted(of_queue) == sorted(OF_QUEUE)


@pytest.mark.declared_keys("*")
def test_the_document_has_the_fields_of_the_page(queues: Queues, run: Callable[..., Ran]) -> None:
    """What --json prints has exactly the fields that the page is held to."""
    queues.add()

    shown = json.loads(run("status", "--json")[1])

    assert set(shown) == OF_DOCUMENT
    assert set(shown["queues"][0]) == OF_QUEUE
    assert set(shown["queues"][0]["ledger"]) == set(Ledger.__struct_fields__)


def test_watch_and_json_are_told_apart(run: Callable[..., Ran]) -> None:
    """--watch with --json is wrong usage."""
    assert run("status", "--watch", "1", "--json")[0] == 2


# -- the watch


class Watch:
    """`vwo-celery status --watch` in a process of its own, and what it printed so far."""

    def __init__(self, url: str) -> None:
        words = [sys.executable, "-u", "-m", "vwo_celery", "--redis-url", url]
        self.process = subprocess.Popen(
            [*words, "status", "--watch", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def waits_for(self, words: str) -> None:
        """Wait until a line with these words comes after all that were printed before."""
        seen = len(self.lines)
        wait_until(lambda: any(words in line for line in self.lines[seen:]), what=words)

    def interrupt(self) -> int:
        """Press Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(LONGEST_SECONDS)
        self._reader.join(LONGEST_SECONDS)
        return code


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that a test stops and starts."""
    with RedisServer() as server:
        yield server


def test_the_watch_goes_on_without_redis(server: RedisServer) -> None:
    """Each turn is a look; without Redis it tells since when, then goes on; Ctrl-C ends it with 0."""
    watch = Watch(server.url)
    try:
        watch.waits_for("no queue is registered")
        server.stop()
        watch.waits_for("cannot be used since")
        server.start()
        watch.waits_for("seen at")
        assert not any("Traceback" in line for line in watch.lines)
        assert watch.interrupt() == 0
    finally:
        watch.process.kill()
        watch.process.wait(LONGEST_SECONDS)


@pytest.mark.declared_keys("*")
def test_a_turn_costs_one_glance_a_shard(queues: Queues, redis: redis_py.Redis) -> None:
    """A look sends one script for each shard, whatever the queues hold."""
    queue = queues.add(shards=3)
    queues.fill(queue, 30)
    url = queues.settings.redis_url
    run_command(["--redis-url", url, "status"])  # loads the script

    with commands_sent(redis) as sent:
        run_command(["--redis-url", url, "status"])
        commands = sent()

    assert len([each for each in commands if each.upper().startswith("EVALSHA")]) == 3
