"""flush, pause and resume as typed, and what is told everywhere of a queue that is stopped."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tools.command_line import Run, document, flat
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.operating.past.audit import actor_of_cli
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import rousing

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "_kombu.*", "*:broker:*")


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
