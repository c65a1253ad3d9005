"""The operator's command as typed: its output, its JSON and its exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import pytest
from click.testing import Result

import vwo_celery
from tools.command_line import run_command
from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from vwo_celery.operating import doctor, operations
from vwo_celery.operating.doctor.finding import warn
from vwo_celery.operating.past.audit import actor_of_cli
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.holding.declines import note_decline
from vwo_celery.queue.registration import Wakeup
from vwo_celery.queue.work import rousing
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "_kombu.*", "*:broker:*")
NOWHERE = "redis://:sekrit@127.0.0.1:1/0"
Run = Callable[..., Result]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, without settings from this machine's environment."""
    for name in [name for name in os.environ if name.startswith("VWO_CELERY_")]:
        monkeypatch.delenv(name)

    def run(*words: str, width: int = 120, text: str | None = None) -> Result:
        monkeypatch.setenv("COLUMNS", str(width))
        return run_command(words, text)

    return run


@pytest.fixture
def run(bare: Run, redis_url: str) -> Run:
    """Run the command on this test's Redis."""
    return lambda *words, **options: bare("--redis-url", redis_url, *words, **options)


def document(result: Result) -> Any:
    """The single JSON document that was printed."""
    return json.loads(result.stdout)


def flat(text: str) -> str:
    """*text* with each run of line breaks and spaces as one space."""
    return re.sub(r"\s+", " ", text)


# -- status, queues, ledger


def test_status_shows_what_is_stuck_since_when_and_why(queues: Queues, run: Run) -> None:
    """status prints numbers in a table and, below it, what needs a person."""
    queue = queues.add()
    queues.fill(queue, 12)
    queues.release(queue, "VWO answered 503")
    queues.shard(queue).pause("VWO answered 401: check sdk_key")
    queues.fleet.note_listener("web1:77")
    queues.fleet.note_sweep("beat")

    result = run("status")

    shown = flat(result.stdout)
    assert result.exit_code == 1
    assert re.search(r"1 worker listens: web1:77, last heard [\d.]+ s ago", shown)
    assert re.search(r"last sweeps: beat [\d.]+ s ago", shown)
    assert re.search(rf"{queue.name} 2 5 [\d.]+ s of 60 s 0 5 0", shown)
    assert f"{queue.name}: paused: VWO answered 401: check sdk_key" in shown
    assert re.search(
        r"VWO has accepted nothing since \d\d:\d\d:\d\d \([\d.]+ s\): VWO answered 503; 12 events kept; "
        r"no try while it is paused", shown,
    )  # fmt: skip


def test_status_names_no_attempt_before_the_probe(queues: Queues, run: Run) -> None:
    """A released batch of a stopped queue is attempted when the queue is, not when it is due itself."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.release(queue, "VWO answered 503", 30.0)
    flowing = flat(run("status").stdout)
    queues.shard(queue).hold(queues.fleet.now_ms() + 900_000, by="outage", why="VWO answered 503")

    stopped = flat(run("status").stdout)

    assert re.search(r"VWO answered 503; 5 events kept; next try in \d+ s", flowing)
    assert "one batch is sent as a probe in 15 min; VWO has accepted nothing since" in stopped
    assert "next try" not in stopped


@pytest.mark.declared_keys("declined", "declined_queues")
def test_status_says_which_workers_decline_a_queue(queues: Queues, run: Run) -> None:
    """status names a worker that leaves a queue to others, since when and why; JSON all of them."""
    queue = queues.add()
    for worker in ("web1:1", "web2:2"):
        queues.fleet.note_listener(worker)
    note_decline(queues.fleet, queue.name, "web1:1", "this worker may not send to 'a'")
    one = flat(run("status").stdout)
    note_decline(queues.fleet, queue.name, "web2:2", "this worker may not send to 'a'")
    queues.shard(queue).hold(2**45)

    every, (view,) = flat(run("status").stdout), document(run("status", "--json"))["queues"]

    assert re.search(
        r"declined by 1 worker, by web1:1 since \S+ \([\d.]+ s\): this worker may not", one
    )
    assert "declined by every worker, by web1:1" in every
    assert "keeps failing" not in every
    assert [decline["worker"] for decline in view["declines"]] == ["web1:1", "web2:2"]
    assert view["declined_by_all"] is True


def test_status_says_which_queue_is_full(queues: Queues, run: Run) -> None:
    """status says which queue is full and how many events that cost; other queues are not mentioned."""
    full, other = queues.add(1), queues.add(2)
    queues.fill(other, 3)
    queues.client.hset(queues.shard(full).keys.meta, "capacity_events", 5)
    queues.fill(full, 5)
    queues.client.hset(queues.shard(full).keys.meta, "refused", 1234)

    shown = flat(run("status").stdout)

    assert f"{full.name}: full: 1,234 events refused so far" in shown
    assert shown.count("full:") == 1


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_number_is_cut_off(queues: Queues, run: Run, width: int) -> None:
    """On a terminal too narrow for the table, each queue is a block of lines; no number is cut off."""
    queue = queues.add(events_per_request=5000)
    queues.fill(queue, 1234)
    queues.client.hincrby(queues.shard(queue).keys.meta, "accepted", 987_654_321_000)

    status, ledger = run("status", width=width), run("ledger", width=width)

    assert queue.name in status.stdout
    assert "1,234" in status.stdout
    assert "987,654,322,234" in ledger.stdout
    assert "…" not in status.stdout + ledger.stdout
    assert max(map(len, ledger.stdout.splitlines())) <= width


def test_status_counts_idle_queues_of_a_large_fleet(queues: Queues, run: Run) -> None:
    """Thousands of idle queues are only counted: they must not hide the one that is stuck."""
    for account in range(25):
        queues.add(account)
    busy = queues.add(999)
    queues.fill(busy, 1)

    some, every = run("status"), run("status", "--all")
    known = document(run("status", "--json"))

    assert busy.name in some.stdout
    assert "25 queues hold nothing" in some.stdout
    assert every.stdout.count("fme-") == 26
    assert (known["queues"][0]["queue"], len(known["queues"])) == (busy.name, 26)
    assert known["idle_queues"] == 25


def test_status_as_json(queues: Queues, run: Run) -> None:
    """The JSON of status has numbers for a monitor, not words."""
    queue = queues.add()
    queues.fill(queue, 7)

    shown = document(run("status", "--json"))

    (view,) = shown["queues"]
    assert (shown["listeners"], shown["last_sweeps_ms"], shown["namespace"]) == ([], {}, "vwo")
    assert (view["queue"], view["open"], view["ready"]) == (queue.name, 2, 5)
    assert (view["interval_seconds"], view["registered"], view["paused"]) == (60, True, "")
    assert view["limits"]["events_per_request"] == 5


def test_queues_names_the_list_that_other_programs_push_to(
    queues: Queues, run: Run, redis_url: str
) -> None:
    """queues shows the documented open list of each shard and the destination, with the key masked."""
    queue = queues.add(888888, shards=2, flush_callback="shop.analytics:on_flush")

    text = run("queues").stdout
    (shown,) = document(run("queues", "--json"))

    assert shown["open_keys"] == [f"vwo:1:{{{queue.name}:{n}}}:open" for n in (0, 1)]
    assert shown["sdk_key"] == "…cdef"
    assert (shown["events_per_request"], shown["request_time_interval"]) == (5, 60)
    assert shown["flush_callback"] == "shop.analytics:on_flush"
    assert shown["open_keys"][0] in text
    assert KEY not in text + str(shown)
    queues.client.lpush(shown["open_keys"][1], '{"d":1}')
    assert queues.view(queue).open == 1


def test_ledger_as_json_has_these_fields_and_no_others(queues: Queues, run: Run) -> None:
    """The JSON of ledger has these fields and no others: other programs rely on it."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.deliver(queue)

    result = run("ledger", "--json")

    assert result.exit_code == 0
    assert document(result) == [
        {
            "queue": queue.name, "accepted": 5, "delivered": 5, "dead": 0, "dropped": 0,
            "pending": 0, "in_flight": 0, "released": 0, "balanced": True,
        }
    ]  # fmt: skip


def test_ledger_out_of_balance_exits_1(queues: Queues, run: Run) -> None:
    """A ledger out of balance exits with 1, as text and as JSON; balanced ledgers are shown as well."""
    well, ill = queues.add(1), queues.add(2)
    queues.fill(well, 5)
    queues.fill(ill, 5)
    queues.client.delete(queues.shard(ill).keys.ready)

    text, shape = run("ledger"), run("ledger", "--json")

    assert (text.exit_code, shape.exit_code) == (1, 1)
    assert "NO" in text.stdout
    assert {row["queue"]: row["balanced"] for row in document(shape)} == {
        well.name: True,
        ill.name: False,
    }


def test_ledger_tells_why_events_were_dropped(queues: Queues, run: Run) -> None:
    """ledger shows each reason for drops with its count."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")
    run("dead", "purge", "--yes")

    assert f"{queue.name}: dropped 5: purged" in run("ledger").stdout


def test_nothing_registered_is_said(queues: Queues, run: Run) -> None:
    """Without any registration, a sentence says so instead of an empty table."""
    for command in ("status", "queues", "ledger"):
        result = run(command)
        assert result.exit_code == 0
        assert "no queue is registered" in result.stdout


# -- flush, pause, resume


def test_flush_seals_and_wakes_without_waiting(queues: Queues, run: Run) -> None:
    """flush seals open lists of any age and wakes workers; once one has taken that, it succeeds."""
    queue = queues.add()
    queues.fill(queue, 2)

    with listening_worker(queues) as taken:
        result = run("flush")

    assert result.exit_code == 0
    assert queues.view(queue).ready == 2
    assert {wakeup.queue for wakeup in taken} == {queue.name}


def test_flush_exits_1_where_only_a_killed_worker_seems_to_listen(
    queues: Queues, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """flush trusts no worker that was heard before: one must take the wake-up now."""
    monkeypatch.setattr(rousing, "ROUSE_SECONDS", 0.2)
    queue = queues.add()
    queues.fill(queue, 2)
    queues.fleet.note_listener("web1:77")

    result, shape = run("flush"), run("flush", "--json")

    assert result.exit_code == shape.exit_code == 1
    assert re.search(
        r"no worker took its wake-up within 0.2 s: web1:77, last heard [\d.]+ s ago",
        flat(result.stdout),
    )
    assert "no worker took its wake-up" in document(shape)[0]["reason"]
    assert queues.view(queue).ready == 2


def test_flush_with_nobody_listening_exits_1(queues: Queues, run: Run) -> None:
    """flush exits with 1 if nobody listens, with or without --wait; it says so, and the events stay."""
    queue = queues.add()
    queues.fill(queue, 2)

    at_once, waiting = run("flush"), run("flush", "--wait", "0.1")
    shape = run("flush", "--wait", "0", "--json")

    for result in (at_once, waiting, shape):
        assert result.exit_code == 1
        assert "no worker listens" in result.stdout
    assert document(shape)[0]["pending"] == 2
    assert queues.view(queue).ready == 2


@contextmanager
def listening_worker(queues: Queues) -> Iterator[list[Wakeup]]:
    """A listener that takes wake-ups, and does nothing with them."""
    taken: list[Wakeup] = []
    ended = threading.Event()
    fleet = Fleet(queues.client, queues.settings.namespace)
    fleet.note_listener("web1:77")

    def listen() -> None:
        while not ended.is_set():
            taken.extend(filter(None, [fleet.next_wakeup(0.05)]))

    thread = threading.Thread(target=listen)
    thread.start()
    yield taken
    ended.set()
    thread.join()


def test_flush_of_a_paused_queue_does_not_wait(queues: Queues, run: Run) -> None:
    """flush of a paused queue does not wait, and prints the reason of the pause."""
    queue = queues.add()
    queues.fill(queue, 2)
    queues.fleet.note_listener("web1:77")
    queues.shard(queue).pause("VWO answered 401")

    result = run("flush", "--wait", "60")

    assert result.exit_code == 1
    assert re.search(
        r"the queue is paused since [\d:]+ \([\d.]+ s\): VWO answered 401", flat(result.stdout)
    )


def test_flush_of_a_queue_that_no_worker_may_send_exits_1(queues: Queues, run: Run) -> None:
    """flush exits with 1 if no worker that listens may send it, and says so; an outage passes."""
    queue = queues.add()
    queues.fill(queue, 2)
    queues.fleet.note_listener("web1:77")
    queues.shard(queue).hold(queues.fleet.now_ms() + 5_000, by="outage", why="VWO answered 503")
    with listening_worker(queues):
        outage = run("flush")
    queues.shard(queue).let_go()
    queues.shard(queue).hold(queues.fleet.now_ms() + 5_000, by="workers", why="may not send to 'a'")

    declined = run("flush")

    assert (outage.exit_code, declined.exit_code) == (0, 1)
    assert "no worker that listens may send it: may not send to 'a'" in flat(declined.stdout)


def test_flush_of_one_queue_leaves_the_others(queues: Queues, run: Run) -> None:
    """flush of one queue seals only that one; an empty queue is a success."""
    named, other = queues.add(1), queues.add(2)
    queues.fill(other, 2)

    result = run("flush", "--queue", named.name)

    assert result.exit_code == 0
    assert "nothing to send" in result.stdout
    assert queues.view(other).open == 2


def test_pause_and_resume_one_queue(queues: Queues, run: Run) -> None:
    """status shows who paused a queue; a queue that was not paused is not reported as resumed."""
    one, other = queues.add(1), queues.add(2)

    paused = document(run("pause", "--queue", one.name, "--reason", "maintenance", "--json"))
    state = (queues.view(one).paused, queues.view(other).paused)
    resumed = document(run("resume", "--all", "--json"))

    assert paused == {"paused": [one.name]}
    assert state == ("maintenance", "")
    assert resumed == {"resumed": [one.name]}
    assert queues.view(one).paused == ""


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_pause_and_resume_of_no_queue_say_so(run: Run, command: str) -> None:
    """Where no queue is registered, as in a wrong namespace, none "was paused before"."""
    assert f"0 queues {command}d: none is registered" in run(command, "--all").stdout


def test_pause_all_says_who_and_when(queues: Queues, run: Run) -> None:
    """Whoever paused a queue is told beside their reason: the next operator may want to ask."""
    queue = queues.add()

    result = run("pause", "--all", "--reason", "lunch")
    told = [flat(run(name).stdout) for name in ("status", "queues", "doctor")]
    (view,) = document(run("status", "--json"))["queues"]

    assert "1 queue paused" in result.stdout
    assert "all were paused before" in run("pause", "--all", "--reason", "dinner").stdout
    who = str(actor_of_cli())
    assert all(
        re.search(rf"paused: lunch \(for \S+ s, by {re.escape(who)}\)", text) for text in told
    )
    assert queues.view(queue).paused == "lunch"
    stop = view["stopped"]
    assert (stop["by"], stop["who"], stop["why"], stop["also"]) == ("operator", who, "lunch", None)


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_pause_and_resume_want_to_be_told_which(queues: Queues, run: Run, command: str) -> None:
    """pause and resume need a queue or --all; neither or both is wrong usage and changes nothing."""
    queue = queues.add()

    neither, both = run(command), run(command, "--all", "--queue", queue.name)
    shape = run(command, "--json")

    assert (neither.exit_code, both.exit_code, shape.exit_code) == (2, 2, 2)
    assert "--queue QUEUE or --all" in neither.stderr
    assert document(shape) == {"error": "give either --queue QUEUE or --all"}
    assert queues.view(queue).paused == ""


# -- dead letters


def test_a_stop_is_told_everywhere(queues: Queues, run: Run) -> None:
    """status, queues, doctor and health say why a queue is stopped, since when, by whom, until when."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.shard(queue).hold(queues.fleet.now_ms() + 600_000, by="refusal", why="VWO answered 404")

    told = [flat(run(name).stdout) for name in ("status", "queues", "doctor", "health")]
    (view,) = document(run("status", "--json"))["queues"]
    (listed,) = document(run("queues", "--json"))

    assert all("VWO answered 404" in text for text in told)
    assert all("because VWO refuses it" in text and "10 min" in text for text in told)
    stop = view["stopped"]
    assert (stop["by"], stop["why"]) == ("refusal", "VWO answered 404")
    assert 0 <= stop["for_seconds"] < 60
    assert 500 < stop["next_try_seconds"] <= 600
    assert listed["stopped"]["by"] == "refusal"
    assert view["paused"] == ""


def test_resume_ends_the_wait_of_a_stopped_queue(queues: Queues, run: Run) -> None:
    """resume lets a queue that VWO refused go at once, with its released batches and no circuit."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.release(queue, "VWO answered 404", delay_seconds=3_000)
    shard = queues.shard(queue)
    queues.client.hset(shard.keys.circuit, "until_ms", queues.fleet.now_ms() + 600_000)
    shard.hold(queues.fleet.now_ms() + 600_000, by="refusal", why="VWO answered 404")

    resumed = run("resume", "--queue", queue.name, "--json")

    assert document(resumed) == {"resumed": [queue.name]}
    assert queues.view(queue).stopped is None
    assert queues.claim(queue).events == 5
    assert not queues.client.exists(shard.keys.circuit)
    assert document(run("resume", "--all", "--json")) == {"resumed": []}
    assert "at once what waits for its next attempt: vwo-celery retry" in flat(
        run("resume", "--all").stdout
    )


def test_a_pause_is_stronger_than_a_stop(queues: Queues, run: Run) -> None:
    """A queue that is paused while VWO refuses it waits for a person, and says who paused it."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.shard(queue).hold(queues.fleet.now_ms() - 1, by="refusal", why="VWO answered 404")

    run("pause", "--queue", queue.name, "--reason", "maintenance")

    (view,) = document(run("status", "--json"))["queues"]
    assert (view["stopped"]["by"], view["stopped"]["next_try_seconds"]) == ("operator", None)
    told, healthy = flat(run("status").stdout), flat(run("health").stdout)
    assert "paused: maintenance" in told
    assert f"to send again: vwo-celery resume --queue {queue.name}" in told
    assert "; 5 events kept" in healthy
    assert queues.shard(queue).claim(token="", lease_seconds=60) is None


def test_dead_list_shows_batch_reason_and_events(queues: Queues, run: Run) -> None:
    """dead list shows what a decision needs; the SDK key that SDKs write into events is masked."""
    queue = queues.add()
    for n in range(5):
        assert queue.enqueue({"n": n, "key": KEY})
    batch = queues.kill(queue, "VWO answered 413: Too large")

    text = run("dead", "list", "--events").stdout
    (shown,) = document(run("dead", "list", "--json", "--events"))

    assert batch.id in text
    assert "VWO answered 413: Too large" in flat(text)
    assert '{"n":0,"key":"…cdef"}' in text
    assert "and 2 further events" in text
    assert "5 events in 1 batch" in text
    assert (shown["queue"], shown["batch"], shown["events"]) == (queue.name, batch.id, 5)
    assert (shown["attempts"], shown["reason"]) == (1, "VWO answered 413: Too large")
    assert shown["first_events"][0] == {"n": 0, "key": "…cdef"}
    assert KEY not in text + str(shown)


def test_a_dead_event_that_is_no_json_can_be_looked_at(queues: Queues, run: Run) -> None:
    """dead list shows an event that is no JSON, which is why another program's event is dead."""
    queue = queues.add()
    queues.client.lpush(queues.shard(queue).keys.open, b"\xff not JSON \x1b[2J")
    run("flush")
    queues.kill(queue, "VWO answered 400")

    text, shape = run("dead", "list", "--events"), run("dead", "list", "--events", "--json")

    assert "not JSON" in text.stdout
    assert "\x1b" not in text.stdout
    assert "not JSON" in document(shape)[0]["first_events"][0]


def test_dead_list_shows_the_newest_and_says_that_there_are_more(queues: Queues, run: Run) -> None:
    """dead list prints only the newest dead letters and says that there are more; its JSON has all."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, 60)
    for _ in range(60):
        queues.kill(queue, "HTTP 413")

    text, limited = run("dead", "list").stdout, run("dead", "list", "--limit", "2").stdout
    shapes = document(run("dead", "list", "--json"))

    assert "60 events in 60 batches; the newest 50 are listed, see --most" in text
    assert limited.count(queue.name) == 2
    assert len(shapes) == 60


def test_redrive_dry_run_changes_nothing(queues: Queues, run: Run) -> None:
    """redrive --dry-run says what a redrive would do and changes nothing."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")

    result = run("dead", "redrive", "--dry-run")
    purge = run("dead", "purge", "--dry-run", "--json")

    assert "5 events in 1 batch would be redriven" in result.stdout
    assert document(purge) == {"would_be_purged": {"batches": 1, "events": 5}}
    assert queues.view(queue).dead == 5


@pytest.mark.parametrize("command", ["redrive", "purge"])
def test_batches_that_somebody_else_changed_do_not_count(
    queues: Queues, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """redrive and purge count what they changed, not what was dead when they looked."""
    queue = queues.add()
    queues.fill(queue, 10)
    first, _ = queues.kill(queue, "HTTP 413"), queues.kill(queue, "HTTP 413")
    count = operations.count_dead

    def count_and_lose_one(*arguments: Any) -> Any:
        counted = count(*arguments)
        assert queues.shard(queue).redrive(first.id) == 5
        return counted

    monkeypatch.setattr(operations, "count_dead", count_and_lose_one)

    result = run("dead", command, "--json", *(["--yes"] if command == "purge" else []))

    done = {"redrive": "redriven", "purge": "purged"}[command]
    nothing = {"batches": 0, "events": 0}
    assert document(result) == {
        done: {"batches": 1, "events": 5}, "left": nothing, "stopped": False,
        "not_looked_at": 0,
        "vanished": 0,
    }  # fmt: skip


def test_redrive_by_reason_puts_back_only_those(queues: Queues, run: Run) -> None:
    """redrive by reason puts back only the batches with that reason."""
    queue = queues.add()
    queues.fill(queue, 10)
    queues.kill(queue, "VWO answered 401")
    queues.kill(queue, "VWO answered 413")

    result = run("dead", "redrive", "--reason", "401", "--queue", queue.name, "--json")

    assert document(result)["redriven"] == {"batches": 1, "events": 5}
    assert (queues.view(queue).ready, queues.view(queue).dead) == (5, 5)


def test_a_batch_that_is_not_dead_is_an_error(queues: Queues, run: Run) -> None:
    """The id of a batch that is not dead is an error, and nothing is done for the other ids either."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.kill(queue, "HTTP 413")

    result = run("dead", "redrive", "--batch", batch.id, "--batch", "nope")

    assert result.exit_code == 1
    assert "has the id nope" in result.stderr
    assert queues.view(queue).dead == 5


def test_dead_add_puts_a_batch_away(queues: Queues, run: Run) -> None:
    """dead add takes a batch that fails again and again out of delivery, with the operator's reason."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.release(queue, "VWO answered 400")
    assert batch.id in flat(run("status").stdout)
    (listed,) = document(run("queues", "--json"))

    tried = run("dead", "add", "--batch", batch.id, "--dry-run", "--json")
    untouched = queues.view(queue)
    added = run("dead", "add", "--batch", batch.id, "--reason", "malformed", "--json")

    assert listed["failing"] == {
        "batch": batch.id, "state": "released", "events": 5, "attempts": 1,
        "error": "VWO answered 400",
    }  # fmt: skip
    assert document(tried) == {"would_be_added": {"batches": 1, "events": 5}}
    assert (untouched.released, untouched.dead) == (5, 0)
    assert document(added) == {"added": {"batches": 1, "events": 5}}
    view = queues.view(queue)
    assert (view.released, view.dead, view.ledger.balanced) == (0, 5, True)
    (dead,) = document(run("dead", "list", "--json"))
    assert (dead["batch"], dead["reason"]) == (
        batch.id, f"set aside by {actor_of_cli()}: malformed",
    )  # fmt: skip


def test_dead_add_leaves_what_a_worker_holds(queues: Queues, run: Run) -> None:
    """A batch in flight, in another queue, or unknown is left as it is, and the command fails."""
    queue, other = queues.add(1), queues.add(2)
    queues.fill(queue, 5)
    queues.fill(other, 5)
    held, waiting = queues.claim(queue), queues.release(other, "VWO answered 503")

    words = ("dead", "add", "--queue", queue.name)
    result = run(*words, "--batch", held.id, "--batch", waiting.id, "--batch", "nope")

    assert result.exit_code == 1
    assert all(name in flat(result.stderr) for name in (held.id, waiting.id, "nope"))
    assert (queues.view(queue).dead, queues.view(other).dead) == (0, 0)
    assert run("dead", "add").exit_code == 2
    shape = run(*words, "--batch", held.id, "--json")
    assert (shape.exit_code, held.id in flat(shape.stderr)) == (1, True)
    assert json.loads(shape.stdout) == {"added": {"batches": 0, "events": 0}}  # one document


def test_dead_add_says_who_did_it(queues: Queues, run: Run) -> None:
    """Without a reason, dead add still stores who put the batch away."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.release(queue, "VWO answered 400")

    result = run("dead", "add", "--batch", batch.id)

    assert "5 events in 1 batch added" in result.stdout
    (dead,) = document(run("dead", "list", "--json"))
    assert dead["reason"] == f"set aside by {actor_of_cli()}"


def test_ctrl_c_before_a_command_begins(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C that comes before click runs the command ends it as later: no traceback, exit 1."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "main", interrupted)
    result = run("status", "--json")

    assert (result.exit_code, document(result)) == (1, {"error": "interrupted"})


def test_purge_asks_first(queues: Queues, run: Run) -> None:
    """purge asks first: "no" or no answer purges nothing; --yes does not ask."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")

    refused, silent = run("dead", "purge", text="n\n"), run("dead", "purge", "--json")
    still_dead = queues.view(queue).dead
    agreed = run("dead", "purge", text="y\n")

    assert (refused.exit_code, silent.exit_code, agreed.exit_code) == (1, 1, 0)
    assert "Drop 5 events in 1 batch of 1 queue for good?" in refused.stderr
    assert document(silent)["error"]
    assert still_dead == 5
    assert "5 events in 1 batch purged" in agreed.stdout
    assert queues.view(queue).dropped == {"purged": 5}


def test_with_nothing_dead_there_is_nothing_to_do(queues: Queues, run: Run) -> None:
    """With nothing dead, a nightly redrive succeeds, and purge does not ask."""
    queues.add()

    assert "no dead letters" in run("dead", "list").stdout
    assert run("dead", "redrive").exit_code == 0
    assert run("dead", "purge").exit_code == 0


# -- doctor


def test_doctor_prints_each_check_with_its_remedy(queues: Queues, run: Run) -> None:
    """doctor prints each check with its remedy, exits with 1 on problems; its JSON lists the findings."""
    queues.fill(queues.add(), 1)

    text, shape = run("doctor", width=100), run("doctor", "--json")

    assert (text.exit_code, shape.exit_code) == (1, 1)
    assert re.search(r"problem +VC401 +listener +no worker listens", text.stdout)
    assert "→ start one: celery -A vwo_celery.celery.app worker" in flat(text.stdout)
    assert re.search(r"\d+ problems, \d+ warnings? in \d+ checks", text.stdout)
    for finding in document(shape):
        assert set(finding) == {"id", "check", "state", "what", "remedy"}
        assert finding["state"] in ("ok", "warn", "problem")


def test_doctor_takes_wrong_settings_for_a_finding(
    bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """doctor reports wrong settings as a finding: it must work when nothing else does."""
    monkeypatch.setenv("VWO_CELERY_LEASE_SECONDS", "5")

    (finding,) = document(result := bare("doctor", "--json"))

    assert result.exit_code == 1
    assert (finding["check"], finding["state"]) == ("settings", "problem")
    assert "lease_seconds must exceed request_timeout_seconds" in finding["what"]
    assert "VWO_CELERY_LEASE_SECONDS" in finding["what"]


def test_doctor_is_strict_where_it_is_asked_to_be(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning alone exits 0, and 1 with --strict."""
    warned = [warn("VC403", "beat is silent", "start one")]
    monkeypatch.setattr(doctor, "examine", lambda *_: iter(warned))

    assert run("doctor").exit_code == 0
    assert run("doctor", "--strict").exit_code == 1
    assert run("doctor", "--strict", "--json").exit_code == 1


def test_doctor_without_redis_says_so(bare: Run) -> None:
    """Without Redis, doctor reports each unreachable thing once, without password or traceback."""
    result = bare("doctor", "--redis-url", NOWHERE)

    assert result.exit_code == 1
    assert re.search(r"problem +VC2\d\d +redis", result.stdout)
    assert "sekrit" not in result.output


# -- common to all commands


COMMANDS = (
    ("status",), ("queues",), ("ledger",), ("flush",), ("pause", "--all"), ("resume", "--all"),
    ("dead", "list"), ("dead", "redrive"), ("dead", "purge", "--yes"),
)  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_without_redis_there_is_one_clear_line(
    bare: Run, words: tuple[str, ...], as_json: bool
) -> None:
    """Without Redis, one line says what was tried, what is true and what to do; exit code 1."""
    result = bare(*words, "--redis-url", NOWHERE, *(["--json"] if as_json else []))

    text = document(result)["error"] if as_json else result.stderr
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "redis://…@127.0.0.1:1/0 cannot be used" in text
    assert "--redis-url" in text
    assert "sekrit" not in result.output
    assert len(text.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--redis-url", "http://:sekrit@x"), "redis_url must be"),
        (("--redis-url", "redis://:sekrit@localhost:port/0"), "cannot be used"),
        (("--redis-url", "redis+cluster://:sekrit@127.0.0.1:1"), "cannot be used"),
        (("--namespace", "a b"), "namespace must be"),
    ],
)
def test_wrong_settings_are_one_clear_line(bare: Run, words: tuple[str, ...], message: str) -> None:
    """Wrong settings are one clear line, in every command."""
    result = bare("status", *words)

    assert result.exit_code == 1
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert "sekrit" not in result.output


def test_options_may_stand_before_and_after_the_command(
    queues: Queues, bare: Run, redis_url: str
) -> None:
    """Options may stand before and after the command; the nearer one wins."""
    queue = queues.add()
    words = ("--redis-url", redis_url)

    before = document(bare(*words, "--json", "ledger"))
    after = document(bare("--redis-url", NOWHERE, "ledger", *words, "--json"))
    of_group = document(bare(*words, "--json", "dead", "list"))

    assert [row["queue"] for row in before] == [row["queue"] for row in after] == [queue.name]
    assert of_group == []


def test_an_unknown_queue_is_an_error(queues: Queues, run: Run) -> None:
    """An unknown queue is an error with the nearest name, in every command that takes a queue."""
    queue = queues.add(888888)

    for command in ("status", "queues", "ledger", "flush", "pause", "resume"):
        result = run(command, "--queue", "fme-8888")
        assert result.exit_code == 1
        assert f"did you mean '{queue.name}'?" in result.stderr
        assert "; 1 queue is, see: vwo-celery queues" in result.stderr


@pytest.mark.parametrize(
    "words",
    [("nope",), ("flush", "--wait", "-1"), ("status", "--nope"), ("dead", "list", "--limit", "0")],
)
def test_wrong_usage_exits_2(run: Run, words: tuple[str, ...]) -> None:
    """Wrong usage exits with 2; with --json, the error is a JSON document."""
    result, shape = run(*words), run("--json", *words)

    assert (result.exit_code, shape.exit_code) == (2, 2)
    assert set(document(shape)) == {"error"}


def test_control_characters_do_not_reach_the_terminal(queues: Queues, run: Run) -> None:
    """Control characters are not printed: data from Redis or VWO must not move an operator's cursor."""
    queues.shard(queues.add()).pause("\x1b[2J\x1b]0;pwned\x07 [bold]text[/bold]")

    shown = run("status").stdout

    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[bold]text[/bold]" in shown


def test_the_installed_command_works(redis_url: str) -> None:
    """The installed command works as a program, even on a terminal that knows only ASCII."""
    env = {**os.environ, "VWO_CELERY_REDIS_URL": redis_url, "PYTHONIOENCODING": "ascii"}
    program = "from vwo_celery.cli import main; main(prog_name='vwo-celery')"

    ran = subprocess.run(
        [sys.executable, "-c", program, "doctor"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    version = subprocess.run(
        [sys.executable, "-c", program, "--version"],
        env=env, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert ran.returncode == 1
    assert "no worker listens" in ran.stdout
    assert [line for line in ran.stderr.splitlines() if not line.startswith("still looking")] == []
    assert re.fullmatch(r"vwo-celery, version \d+\.\d+\.\d+\S*\n", version.stdout)


# -- spool


def test_the_spool_is_shown_and_drained(bare: Run) -> None:
    """spool shows the events that wait on this host, with and without Redis; drain then empties it."""
    with RedisServer(appendonly=True) as server:
        queue = _spooling_queue(server)
        at = ("--redis-url", server.url)
        shown, told = bare("spool", "status", *at), document(bare("spool", "status", "--json", *at))
        away = bare("spool", "drain", "--timeout", "0.1", *at)
        server.start()
        drained = bare("spool", "drain", "--json", *at)
        after = bare("spool", "status", *at)
        stored = Queues(server.url).view(queue)

    assert shown.exit_code == 0
    assert f"{queue.name} 3 " in flat(shown.stdout)
    assert (told["events"], told["queues"][0]["queue"]) == (3, queue.name)
    assert 0 < told["used_bytes"] <= told["max_bytes"]
    assert away.exit_code == 1
    assert "3 left" in away.stdout
    assert "nothing listens at the address of Redis" in flat(away.stdout)
    assert drained.exit_code == 0
    assert document(drained)["left"] == 0
    assert stored.ready == 3
    assert (after.exit_code, "it holds nothing" in after.stdout) == (0, True)


def test_without_a_spool_there_is_nothing_to_drain(
    bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an empty spool_dir both commands say that there is no spool; an unused spool is fine."""
    for word in ("status", "drain"):
        fresh = bare("spool", word)
        with monkeypatch.context() as patch:
            patch.setenv("VWO_CELERY_SPOOL_DIR", "")
            none = run_command(["spool", word])

        assert fresh.exit_code == 0
        assert none.exit_code == 1
        assert "there is no spool" in none.stderr


def _spooling_queue(server: RedisServer) -> vwo_celery.Queue:
    """A queue without its Redis and with three spooled events, which this process does not drain."""
    program = (
        "import sys, vwo_celery\n"
        "queue = vwo_celery.connect(\n"
        "    vwo_celery.Destination(account_id=1, sdk_key='k' * 32, generation='fme'),\n"
        "    redis_url=sys.argv[1], batch_event_data={'events_per_request': 5})\n"
        "assert all(r.where == 'spooled' for r in queue.enqueue_many([{}, {}, {}]))\n"
    )
    server.stop()
    subprocess.run([sys.executable, "-c", program, server.url], check=True, timeout=60)
    destination = vwo_celery.Destination(account_id=1, sdk_key="k" * 32, generation="fme")
    return vwo_celery.connect(destination, redis_url=server.url)


def test_a_queue_is_forgotten_once_it_is_confirmed(
    queues: Queues, run: Run, declared_keys: Callable[[str], None]
) -> None:
    """`queues forget` asks, tells the last numbers, and exits 1 for a queue that stays."""
    declared_keys("former")
    idle, busy = queues.add(1), queues.add(2)
    queues.fill(busy, 1)

    refused = run("queues", "forget", idle.name, text="n\n")
    listed = document(run("queues", "--json"))
    done = run("queues", "forget", idle.name, busy.name, "--yes", "--json")
    misused = run("queues", "--queue", idle.name, "forget", busy.name)

    assert refused.exit_code == 1
    assert {each["queue"] for each in listed} == {idle.name, busy.name}
    assert done.exit_code == 1
    told = {each.pop("queue"): each for each in document(done)}
    assert told[idle.name] == {
        "forgotten": True, "why": "", "accepted": 0, "delivered": 0, "dropped": 0, "refused": 0,
    }  # fmt: skip
    assert told[busy.name]["forgotten"] is False
    assert "holds events" in told[busy.name]["why"]
    assert misused.exit_code == 2
    assert [*queues.registered] == [busy.name]
