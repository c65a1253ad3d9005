"""History and plan: sampled once a minute by the whole fleet, and shown by the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import Result

from lua.clock import KEY, Clock, own_clock
from tools.command_line import run_command
from tools.queue_states import Queues
from tools.redis_commands import commands_sent
from vwo_celery import Queue
from vwo_celery.operating.doctor.queues.history import history_finding
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import histories
from vwo_celery.queue.records.histories import PERIODS, read_samples, sample_if_due
from vwo_celery.queue.scripts import script

pytestmark = pytest.mark.declared_keys(KEY, "watched", "open")
MINUTE_MS = 60_000


@pytest.fixture
def clock(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of scripts and of every fleet, which only a test moves."""
    with own_clock(queues.client) as clock:
        clock.move(MINUTE_MS - clock.ms % MINUTE_MS)
        monkeypatch.setattr(Fleet, "now_ms", lambda _: clock.ms)
        yield clock


def samples(queues: Queues, queue: Queue, period: int = 0) -> int:
    """The number of samples of a queue."""
    (found,) = read_samples(queues.fleet, [queues.shard(queue)], PERIODS[period], 0)
    return len(found)


def run(queues: Queues, *words: str) -> Result:
    """`vwo-celery` with these words."""
    return run_command([*words, "--redis-url", queues.settings.redis_url])


def past(queues: Queues, queue: Queue, *accepted: int) -> None:
    """Write a history: so many events were accepted by the end of each minute until now."""
    now = queues.fleet.now_ms() // MINUTE_MS * MINUTE_MS
    for minute, count in enumerate(accepted, 1 - len(accepted)):
        fields: dict[Any, Any] = {
            "accepted": count, "delivered": count - 5, "undelivered": 5, "bytes": 2_500,
            "oldest_ms": 3_000, "tries": count // 10, "failed": count // 20, "ages": f"0:{count} 2:7",
        }  # fmt: skip
        queues.client.xadd(
            queues.shard(queue).keys.minutes, fields, id=f"{now + minute * MINUTE_MS}-0"
        )


def test_the_fleet_samples_once_a_minute(queues: Queues, clock: Clock) -> None:
    """Of several processes that sweep in a minute, one samples; in the next minute one again."""
    queue = queues.add()
    queues.fill(queue, 2)
    processes = [Fleet(queues.client, "vwo") for _ in range(3)]

    with commands_sent(queues.client) as sent:
        for fleet in 2 * processes:
            sample_if_due(fleet, "full")
        sampled = [text for text in sent() if script("sample").sha in text]
    clock.move(MINUTE_MS)
    for fleet in processes:
        sample_if_due(fleet, "full")

    assert len(sampled) <= 2  # twice, if the server had to be given the script first
    assert [samples(queues, queue, period) for period in range(3)] == [2, 1, 1]


@pytest.mark.parametrize(("keeping", "expected"), [("full", 1), ("short", 1), ("off", 0)])
def test_the_setting_says_how_much_is_kept(
    queues: Queues, clock: Clock, keeping: Any, expected: int
) -> None:
    """`short` keeps the minutes only, `off` nothing."""
    queue = queues.add()
    queues.fill(queue, 1)

    sample_if_due(queues.fleet, keeping)

    assert samples(queues, queue) == expected
    assert samples(queues, queue, 2) == (keeping == "full")


def test_many_queues_have_a_short_history(
    queues: Queues, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above a number of watched shards, coarser samples would take too much memory."""
    monkeypatch.setattr(histories, "MOST_IN_FULL", 1)
    both = [queues.add(1), queues.add(2)]
    for queue in both:
        queues.fill(queue, 1)

    sample_if_due(queues.fleet, "full")

    assert [samples(queues, queue) for queue in both] == [1, 1]
    assert [samples(queues, queue, 2) for queue in both] == [0, 0]


def test_history_shows_what_came(queues: Queues) -> None:
    """Each step with what came and left in it, and what waited at its end."""
    queue = queues.add()
    past(queues, queue, 100, 160, 400)

    shown, document = run(queues, "history"), run(queues, "history", "--json")

    assert shown.exit_code == document.exit_code == 0, shown.output
    assert queue.name in shown.stdout
    assert "VWO did not accept 3 of 6 requests" in shown.stdout
    (found,) = json.loads(document.stdout)
    assert (found["queue"], found["period_seconds"]) == (queue.name, 60)
    assert [step["accepted"] for step in found["steps"]] == [60, 240]
    assert found["steps"][0] == {
        "at_ms": found["steps"][0]["at_ms"], "seconds": 60, "accepted": 60, "delivered": 60,
        "dropped": 0, "refused": 0, "dead": 0, "undelivered": 5, "bytes": 2_500,
        "oldest_seconds": 3, "stopped": False, "tries": 6, "failed": 3, "ages": [60, *[0] * 14],
    }  # fmt: skip


def test_a_queue_without_samples_says_so(queues: Queues) -> None:
    """Before a worker has run for two minutes there is nothing to show."""
    queue = queues.add()

    shown, plan = run(queues, "history"), run(queues, "plan")

    assert f"no two samples yet of {queue.name}" in shown.stdout
    assert plan.stdout == shown.stdout, "that nothing came is not known"


def test_plan_recommends_fewer_requests(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice in force and the recommended one stand in a table that fits any terminal, and in the
    document.
    """
    monkeypatch.setenv("COLUMNS", "80")
    queue = queues.add(events_per_request=10, request_time_interval=30)
    past(queues, queue, *range(100, 37_000, 600))

    shown, document = run(queues, "plan", "--age", "60"), run(queues, "plan", "--json")

    assert "recommended" in shown.stdout
    assert any({"size", "limit"} <= {*line.split()} for line in shown.stdout.splitlines())
    assert "size is events_per_request" in shown.stdout
    assert "500 bytes each" in shown.stdout
    (found,) = json.loads(document.stdout)
    assert (found["queue"], found["event_bytes"]) == (queue.name, 500)
    assert (found["current"]["events_per_request"], found["current"]["limit"]) == (10, "events")
    assert found["current"]["requests_an_hour"] == pytest.approx(3_600, rel=0.01)
    assert found["recommended"] in found["choices"]
    outage = run(queues, "plan", "--outage", "6h")
    assert "an outage of 6 h" in outage.stdout
    assert "maxmemory" in outage.stdout
    assert run(queues, "plan", "--outage", "soon").exit_code == 2


def test_a_gap_in_the_history_is_told(queues: Queues, clock: Clock) -> None:
    """Where sweeps go on and Redis refuses samples, the doctor says since when."""
    queue = queues.add()
    queues.fill(queue, 1)
    sample_if_due(queues.fleet, "full")
    sampled = clock.ms
    for period in PERIODS:
        queues.client.delete(getattr(queues.shard(queue).keys, period.key))
        queues.client.set(getattr(queues.shard(queue).keys, period.key), "in the way")

    told = []
    for _ in range(6):
        clock.move(MINUTE_MS)
        sample_if_due(queues.fleet, "full")
        told.append(judge(queues, {"listener": clock.ms}))

    assert histories.last_sampled_ms(queues.fleet) == sampled
    assert [state for state, _ in told] == ["ok"] * 4 + ["warn"] * 2
    assert told[-1][1].startswith("no worker has sampled the counters since ")
    assert judge(queues, {}) is None  # that nobody sweeps is told elsewhere


def judge(queues: Queues, sweeps: dict[str, int]) -> tuple[str, str] | None:
    """State and text of the doctor's finding."""
    fleet = queues.fleet
    found = list(history_finding(histories.last_sampled_ms(fleet), sweeps, fleet.now_ms()))
    return (found[0].state, found[0].what) if found else None
