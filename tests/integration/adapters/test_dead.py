"""`vwo-celery dead …` with filters, with many batches, and with single events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

import vwo_celery
from tools.command_line import flat, run_command
from tools.queue_states import KEY, Queues
from tools.redis_commands import commands_sent
from vwo_celery.cli.dead.choosing import Choice
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_waiting
from vwo_celery.operating.batches.found import WHY_NO_ATTEMPTS
from vwo_celery.operating.past.audit import Actor
from vwo_celery.queue.looks.pages import PAGE_BATCHES

Run = Callable[..., Result]
pytestmark = pytest.mark.declared_keys(
    "open", "ready", "leases", "info", "dead", "batch", "slots", "wakeups", "watched", "births",
    "released",
)  # fmt: skip


@pytest.fixture
def run(redis_url: str) -> Run:
    """`vwo-celery dead` with this test's Redis; *text* is typed."""
    return lambda *words, text=None: run_command(["dead", *words, "--redis-url", redis_url], text)


def document(result: Result) -> Any:
    """The JSON document of a command that did its work."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def killed(queues: Queues, queue: vwo_celery.Queue, error: str, *names: str) -> str:
    """A dead letter with events of these names; its id."""
    assert all(queue.enqueue_many({"d": {"event": {"name": each}}} for each in names))
    queues.shard(queue).sweep(force=True, idle_ms=1_000)
    return queues.kill(queue, error).id


def test_a_dead_letter_without_an_attempt_of_its_own_says_so(queues: Queues, run: Run) -> None:
    """The list explains why there is no number; one that was tried has its number, and no words."""
    queue = queues.add()
    tried = killed(queues, queue, "VWO answered 413: too large", "a")
    alone = run("list").stdout
    queues.fill(queue, 5)
    found = find_waiting(queues.fleet, queues.registered, Filter())
    operations.add_dead(queues.fleet, Actor("ana", "cli", "ops1"), list(found), "as it is")

    told = run("list").stdout

    assert tried in alone
    assert "one alone" not in alone
    assert " none alone " in told
    assert WHY_NO_ATTEMPTS in flat(told)


# -- filters


def test_a_filter_picks_what_is_listed_redriven_and_purged(queues: Queues, run: Run) -> None:
    """The same filter lists, sends again and drops; --queue, --batch and --reason narrow it."""
    queue, other = queues.add(1), queues.add(2)
    large = killed(queues, queue, "VWO answered 413: too large", "a")
    bad = killed(queues, queue, "VWO answered 400: malformed", "b")
    away = killed(queues, other, "VWO answered 413: too large", "c")

    def listed(*words: str) -> list[str]:
        return sorted(each["batch"] for each in document(run("list", "--json", *words)))

    assert listed("--filter", "answer:413") == sorted([large, away])
    assert listed("--filter", "answer:413", "--queue", queue.name) == [large]
    assert listed("--filter", "died:<1h attempts:1", "--reason", "MALFORMED") == [bad]
    assert listed("--filter", f"answer:413 batch:{large}") == [large]
    assert listed("--filter", "died:>1h") == []

    dry = document(run("redrive", "--filter", "answer:413 event:c", "--dry-run", "--json"))
    redriven = document(run("redrive", "--filter", "answer:413 event:c", "--json"))
    purged = document(run("purge", "--filter", "malformed", "--yes", "--json"))

    assert dry == {"would_be_redriven": {"batches": 1, "events": 1}}
    assert redriven["redriven"] == {"batches": 1, "events": 1}
    assert queues.view(other).ready == 1
    assert purged["purged"] == {"batches": 1, "events": 1}
    assert listed() == [large]


@pytest.mark.parametrize("command", ["list", "redrive", "purge", "add"])
def test_a_wrong_filter_is_wrong_usage_and_changes_nothing(
    queues: Queues, run: Run, command: str
) -> None:
    """A word that cannot be read is named with what is allowed; exit code 2, and nothing is done."""
    queue = queues.add()
    killed(queues, queue, "VWO answered 413", "a")

    result = run(command, "--filter", "answer:413 reson:x")
    shape = run(command, "--filter", "answer:many", "--json")

    assert (result.exit_code, shape.exit_code) == (2, 2)
    said = " ".join(result.stderr.split())
    assert "unknown word 'reson:' (did you mean 'reason'?)" in said
    assert "answer: takes a status such as 413" in json.loads(shape.stdout)["error"]
    assert queues.view(queue).dead == 1


def test_a_filter_on_events_tells_places_and_what_it_did_not_look_at(
    queues: Queues, run: Run
) -> None:
    """A list by event: names the events that match, and says and exits 1 where its bound was reached."""
    queue = queues.add(events_per_request=10)
    batch = killed(queues, queue, "413", "a", "b", "a", *"aaaaaa")

    text = run("list", "--filter", "event:a").stdout
    (found,) = document(run("list", "--filter", "event:a", "--json"))
    beyond = run("list", "--filter", "event:a", "--scan-limit", "4", "--json")
    redrive = run("redrive", "--filter", "event:b", "--scan-limit", "1", "--json")

    assert "matching events: 1, 3, 4, 5, 6 and 3 more" in " ".join(text.split())
    assert found["matching_events"] == [1, 3, 4, 5, 6, 7, 8, 9]
    assert (beyond.exit_code, json.loads(beyond.stdout)[0]["batch"]) == (1, batch)
    assert "5 events not looked at" in beyond.stderr
    assert "raise --scan-limit" in beyond.stderr
    assert redrive.exit_code == 1
    assert json.loads(redrive.stdout)["not_looked_at"] == 8
    assert queues.view(queue).dead == 9


def test_a_broken_key_is_told_and_hides_no_other(queues: Queues, run: Run) -> None:
    """Where one queue's key is of another type, the others are listed, it is named, and exit is 1."""
    queue, broken = queues.add(1), queues.add(2)
    batch = killed(queues, queue, "413", "a")
    queues.client.set(queues.shard(broken).keys.dead, "x")

    result = run("list", "--json")

    assert result.exit_code == 1
    assert [each["batch"] for each in json.loads(result.stdout)] == [batch]
    assert broken.name in result.stderr


# -- many


def test_a_hundred_thousand_dead_letters_are_listed_by_short_commands(
    queues: Queues, run: Run
) -> None:
    """A list of very many reads them page by page, shows the newest, and says how many more match."""
    queue = queues.add()
    keys = queues.shard(queue).keys
    queues.client.eval(
        "for i = 1, ARGV[1] do redis.call('ZADD', KEYS[1], i, 'b' .. i) "
        "redis.call('HSET', KEYS[2], 'b' .. i, '1:0:2:20:0:0:VWO answered 413') end "
        "redis.call('HINCRBY', KEYS[3], 'dead', 2 * ARGV[1])",
        3, keys.dead, keys.info, keys.meta, 100_000,
    )  # fmt: skip

    with commands_sent(queues.client) as sent:
        text = run("list", "--filter", "answer:413", "--most", "2").stdout
        commands = [each.split() for each in sent()]

    assert "b100000" in text
    assert "200,000 events in 100,000 batches; the newest 2 are listed, see --most" in text
    assert max(map(len, commands)) <= PAGE_BATCHES + 2
    assert not [each for each in commands if each[0] == "HGETALL" and each[1] == keys.info]


# -- one batch with its events


def test_show_has_all_events_by_their_places(queues: Queues, run: Run) -> None:
    """show prints every event with its place, the key masked; --events N fewer; --lines for programs."""
    queue = queues.add(events_per_request=20)
    assert all(queue.enqueue_many({"n": n, "key": KEY} for n in range(12)))
    queues.shard(queue).sweep(force=True, idle_ms=1_000)
    batch = queues.kill(queue, "VWO answered 413").id

    text, few = run("show", batch).stdout, run("show", batch, "--events", "2").stdout
    shown = document(run("show", batch, "--json"))
    lines = run("show", batch, "--lines")

    assert re.findall(r"^ +(\d+)  (\{.*\})$", text, re.MULTILINE) == [
        (str(n + 1), f'{{"n":{n},"key":"…cdef"}}') for n in range(12)
    ]
    assert "VWO answered 413" in " ".join(text.split())
    assert "and 10 further events" in few
    assert (shown["batch"], shown["events"], len(shown["first_events"])) == (batch, 12, 12)
    assert [json.loads(line) for line in lines.stdout.splitlines()] == shown["first_events"]
    assert KEY not in text + few + lines.stdout + str(shown)
    assert len(document(run("list", "--events", "all", "--json"))[0]["first_events"]) == 12
    assert len(document(run("list", "--events", "5", "--json"))[0]["first_events"]) == 5


def test_show_escapes_and_names_what_is_not_there(queues: Queues, run: Run) -> None:
    """An event's letters cannot move a cursor; an id that is not dead is an error with what to do."""
    queue = queues.add()
    queues.client.lpush(queues.shard(queue).keys.open, b"no \x1b[2J JSON", b'"\xe2\x80\xae"')
    queues.shard(queue).sweep(force=True, idle_ms=1_000)
    batch = queues.kill(queue, "413").id

    text, lines = run("show", batch).stdout, run("show", batch, "--lines").stdout
    unknown = run("show", "nope")

    assert "\x1b" not in text + lines
    assert "\u202e" not in text + lines
    assert (unknown.exit_code, "no dead letter has the id nope" in unknown.stderr) == (1, True)
    assert run("show", batch, "--events", "0").exit_code == 2
    assert run("show").exit_code == 2


def test_single_events_are_redriven(queues: Queues, run: Run) -> None:
    """The events at the given places are sent again; the rest is dead under the id that is told."""
    queue = queues.add(events_per_request=5)
    batch = killed(queues, queue, "VWO answered 413", *"abcde")

    dry = document(run("redrive", "--batch", batch, "--event", "5", "--dry-run", "--json"))
    done = document(run("redrive", "--batch", batch, "--event", "5", "--event", "2", "--json"))
    again = run("redrive", "--batch", batch, "--event", "2")

    assert dry == {"would_be_redriven": {"batches": 1, "events": 1}}
    assert done["redriven"] == {"batches": 1, "events": 2}
    assert (again.exit_code, "no dead letter that matches" in again.stderr) == (1, True)
    (rest,) = document(run("list", "--events", "all", "--json"))
    assert rest["batch"] == done["rest"]
    assert [each["d"]["event"]["name"] for each in rest["first_events"]] == ["a", "c", "d"]
    view = queues.view(queue)
    assert (view.ready, view.dead, view.ledger.balanced) == (2, 3, True)
    assert queues.fleet.next_wakeup(1) is not None
    sent = queues.shard(queue).read(queues.claim(queue))
    assert [json.loads(each)["d"]["event"]["name"] for each in sent] == ["b", "e"]


def test_two_operators_pick_events_of_one_batch(
    queues: Queues, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody else was faster after the look, the command says so, and changes nothing."""
    queue = queues.add(events_per_request=5)
    batch = killed(queues, queue, "VWO answered 413", *"abc")
    look = Choice.check_batches

    def look_late(choice: Choice) -> Any:
        found = look(choice)
        queues.shard(queue).redrive(batch)
        return found

    monkeypatch.setattr(Choice, "check_batches", look_late)
    done = run("redrive", "--batch", batch, "--event", "1")

    assert (done.exit_code, "is not dead any more" in done.stderr) == (1, True)
    assert queues.view(queue).ready == 3


def test_single_events_are_purged_after_asking(queues: Queues, run: Run) -> None:
    """Purging single events asks; they are counted as purged, and the rest stays dead."""
    queue = queues.add(events_per_request=5)
    batch = killed(queues, queue, "VWO answered 400", *"abc")

    refused = run("purge", "--batch", batch, "--event", "2", text="n\n")
    still = queues.view(queue).dead
    done = run("purge", "--batch", batch, "--event", "2", text="y\n")

    assert (refused.exit_code, still, done.exit_code) == (1, 3, 0)
    assert f"Drop 1 event of batch {batch} for good?" in refused.stderr
    assert "the other 2 events are batch" in " ".join(done.stdout.split())
    view = queues.view(queue)
    assert (view.dead, view.dropped, view.ledger.balanced) == (2, {"purged": 1}, True)


def test_places_that_mean_nothing_change_nothing(queues: Queues, run: Run) -> None:
    """A place beyond the batch, events without their batch, or events that are gone: nothing changes."""
    queue = queues.add(events_per_request=5)
    batch = killed(queues, queue, "413", *"abc")

    beyond = run("redrive", "--batch", batch, "--event", "4")
    unnamed = run("redrive", "--event", "1")
    queues.client.rpop(queues.shard(queue).keys.batch(batch))
    gone = run("purge", "--batch", batch, "--event", "1", "--yes")

    assert (beyond.exit_code, unnamed.exit_code, gone.exit_code) == (1, 2, 1)
    assert "has 3 events, and none at place 4; nothing was changed" in " ".join(
        beyond.stderr.split()
    )
    assert "1 event of batch" in gone.stderr
    assert "nothing was changed" in " ".join(gone.stderr.split())
    assert [each["batch"] for each in document(run("list", "--json"))] == [batch]


def test_batches_are_added_by_a_filter(queues: Queues, run: Run) -> None:
    """add takes what a filter picks of what waits: not what is in flight, nor what is dead already."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, 4)
    queues.kill(queue, "VWO answered 503")
    released = queues.release(queue, "VWO answered 503")
    queues.release(queue, "VWO answered 429")
    queues.claim(queue)

    tried = document(run("add", "--filter", "answer:5xx", "--dry-run", "--json"))
    added = document(run("add", "--filter", "answer:5xx", "--reason", "stuck", "--json"))

    assert tried == {"would_be_added": {"batches": 1, "events": 1}}
    assert added == {"added": {"batches": 1, "events": 1}}
    (dead,) = document(run("list", "--filter", "stuck", "--json"))
    assert dead["batch"] == released.id
    assert (run("add").exit_code, run("add", "--filter", "died:>1s").exit_code) == (2, 2)
    assert queues.view(queue).ledger.balanced
