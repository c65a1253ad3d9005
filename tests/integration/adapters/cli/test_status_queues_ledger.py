"""What status, queues and ledger tell of every queue, as text and as JSON; and a queue forgotten."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tools.command_line import Run, document, flat
from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from vwo_celery.queue.holding.declines import note_decline

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


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
    queues.client.hset(queues.shard(full).keys.meta, "refused", 1)

    assert f"{full.name}: full: 1,234 events refused so far" in shown
    assert shown.count("full:") == 1
    assert f"{full.name}: full: 1 event refused so far" in flat(run("status").stdout)


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
