"""The audit of operators' changes: two entries each, whatever becomes of the change or its process."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis as redis_py

from vwo_celery.connections import open_client
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.past.audit import (
    Actor,
    actor_of_cli,
    change_of,
    changes,
    follow,
    recorded,
)
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records import audits
from vwo_celery.queue.records.audits import AuditEntry, note_change, read_audit
from vwo_celery.testing import RedisServer
from vwo_celery.top.screens.audit import _cells

ALICE = Actor("alice", "cli", "ops1")
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def fleet(redis: redis_py.Redis) -> Fleet:
    """The queues of this test's Redis."""
    return Fleet(redis, "vwo")


def test_a_change_leaves_an_entry_before_and_one_after(fleet: Fleet) -> None:
    """Both entries say who did what from where; the second one also what came of it."""
    facts: dict[str, Any] = {"queues": ("q1", "q2"), "filter": "reason:413", "reason": "why"}

    with recorded(fleet, ALICE, "dead redrive", matched=7, **facts) as entry:
        (before,) = read_audit(fleet)
        entry.done += 5

    begun, ended = read_audit(fleet)
    assert (before, before.phase, before.result, before.done) == (begun, "intent", "", 0)
    assert (ended.phase, ended.result, ended.done) == ("outcome", "ok", 5)
    assert begun.change == ended.change != ""
    for each in (begun, ended):
        assert (each.who, each.door, each.host, each.command, each.matched) == (
            "alice", "cli", "ops1", "dead redrive", 7,
        )  # fmt: skip
        assert {name: getattr(each, name) for name in facts} == facts
    (change,) = changes(fleet)
    assert (change.result, change.done, change.at_ms) == ("ok", 5, ended.at_ms - ended.duration_ms)


def test_a_change_that_fails_says_why(fleet: Fleet) -> None:
    """An error of ours is told; one of others by its kind only, since its text may hold a secret."""
    ours = QueueUnavailable("purge of batch 1: no answer")
    for error in (ours, ValueError("key 0123456789abcdef")):
        end_with(fleet, error)

    first, second = changes(fleet)
    assert (first.result, first.done, first.error) == ("failed", 3, "purge of batch 1: no answer")
    assert (second.result, second.error) == ("failed", "ValueError")


def end_with(fleet: Fleet, error: BaseException) -> None:
    """Record a change of which 3 are done when *error* ends it."""
    with suppress(type(error)), recorded(fleet, ALICE, "purge") as entry:
        entry.done = 3
        raise error


def test_a_change_that_somebody_stops_is_interrupted(fleet: Fleet) -> None:
    """Ctrl-C and a polite stop both end as interrupted, with what was done until then."""
    end_with(fleet, KeyboardInterrupt())
    with recorded(fleet, ALICE, "redrive") as entry:
        entry.done = 1
        entry.interrupt()

    assert [(each.result, each.done) for each in changes(fleet)] == [
        ("interrupted", 3), ("interrupted", 1),
    ]  # fmt: skip


KILLED = """
import sys
from vwo_celery.connections import open_client
from vwo_celery.operating.past.audit import actor_of_cli, recorded
from vwo_celery.queue.fleet import Fleet
with recorded(Fleet(open_client(sys.argv[1], timeout_seconds=5), "vwo"), actor_of_cli(), "purge"):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_a_killed_change_is_unfinished(fleet: Fleet, redis_url: str) -> None:
    """SIGKILL leaves the first entry alone: unfinished, with no number that nobody knows."""
    words = [sys.executable, "-c", KILLED, redis_url]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)

    (change,) = changes(fleet)
    assert (change.command, change.result) == ("purge", "unfinished")
    assert (change.done, change.duration_seconds) == (None, None)


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    """A server whose memory and users these tests may limit."""
    with RedisServer() as server:
        yield server


def full(admin: Any) -> str:
    """Leave the server without memory."""
    admin.config_set("maxmemory", 1)
    return "default"


def denied(admin: Any) -> str:
    """A user without XADD."""
    rules = ("reset", "on", ">p", "~*", "&*", "+@all", "-xadd")
    admin.execute_command("ACL", "SETUSER", "monkey", *rules)
    return "monkey"


def misused(admin: Any) -> str:
    """A key of another type in the audit's place."""
    admin.set("vwo:1:audit", "x")
    return "default"


@pytest.mark.parametrize("spoil", [full, denied, misused])
def test_a_refused_entry_stops_no_change_and_is_told(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture, spoil: Any
) -> None:
    """A full Redis, or a user who may not, refuses the entries: the change goes on, with a warning."""
    admin: Any = redis_py.Redis.from_url(own_server.url)
    admin.config_set("maxmemory", 0)
    admin.flushall()
    user = spoil(admin)
    url = own_server.url.replace(
        "redis://", f"redis://{user}:p@" if user != "default" else "redis://"
    )
    fleet = Fleet(open_client(url, timeout_seconds=5), "vwo")

    with recorded(fleet, ALICE, "resume") as entry:
        entry.done = 2

    admin.config_set("maxmemory", 0)
    first, second = [record.getMessage() for record in caplog.records]
    assert "resume goes on, although its beginning is not in the audit" in first
    assert "the end of resume is not in the audit (ok, 2 done)" in second
    admin.close()


def test_without_redis_no_change_begins() -> None:
    """A Redis that does not answer could not be changed either; nothing is tried."""
    fleet = Fleet(open_client(NOWHERE, timeout_seconds=1), "vwo")

    with pytest.raises(QueueUnavailable, match="audit"), recorded(fleet, ALICE, "flush"):
        raise AssertionError("the change began")


def test_entries_are_bounded(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are cut, of many queues the first are named, and the stream keeps its newest entries."""
    monkeypatch.setattr(audits, "MOST_ENTRIES", 10)
    many = tuple(f"q{n}" for n in range(50))
    entry = AuditEntry(
        "1", "intent", "w" * 9_999, "h", "cli", "pause", "f" * 9_999, "r" * 9_999, many
    )
    for _ in range(250):
        note_change(fleet, entry)

    stored = list(read_audit(fleet))
    (found,) = changes(fleet)
    assert len(stored) < 250
    assert {len(found.who), len(found.filter), len(found.reason)} == {audits.LONGEST_VALUE}
    assert (found.queues, found.more_queues) == (many[:20], 30)
    assert found.concerns("q1")
    assert found.concerns("q49"), "it is one of those whose names are not kept"


def test_texts_that_no_encoding_knows_are_stored(fleet: Fleet) -> None:
    """A lone surrogate, as a shell may hand over, does not fail the entry."""
    with recorded(fleet, ALICE, "pause", reason="\udcff\x1b[2J", queues=["\udcff"]):
        pass

    (change,) = changes(fleet)
    assert (change.reason, change.queues) == ("?\x1b[2J", ("?",))


def test_all_pages_are_read_and_what_is_unreadable_is_left_out(
    fleet: Fleet, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many entries come in pages; an entry of another program spoils nothing."""
    monkeypatch.setattr(audits, "_PAGE", 4)
    for n in range(9):
        note_change(fleet, AuditEntry(str(n), "intent", "w", "h", "cli", "pause"))
        redis.xadd(fleet.keys.audit, {"phase": "of another program", "queues": "{"})

    stored = list(read_audit(fleet))
    assert [each.change for each in stored] == [str(n) for n in range(9)]
    assert [each.change for each in read_audit(fleet, after=stored[6].id)] == ["7", "8"]
    assert list(read_audit(fleet, since_ms=stored[-1].at_ms + 1)) == []


def test_changes_are_found_by_queue_and_time(fleet: Fleet) -> None:
    """A change is listed for each of its queues, from the time at which it began or ended."""
    with recorded(fleet, ALICE, "pause", queues=["q1"]):
        pass
    with recorded(fleet, ALICE, "pause", queues=["q2"]):
        pass
    later = max(each.at_ms for each in read_audit(fleet)) + 1

    assert [each.queues for each in changes(fleet, queues=["q2"])] == [("q2",)]
    assert len(changes(fleet, since_ms=later - 60_000)) == 2
    assert changes(fleet, since_ms=later) == []


def test_following_goes_on_over_an_outage() -> None:
    """A Redis that is away is waited for, and told once; what is noted afterwards is not missed."""
    with RedisServer() as server:
        fleet = Fleet(open_client(server.url, timeout_seconds=5), "vwo")
        told: list[str] = []

        def come_back() -> None:
            server.restart()
            note_change(fleet, AuditEntry("2", "intent", "w", "h", "cli", "flush"))

        steps = iter([server.kill, lambda: None, come_back])
        with recorded(fleet, ALICE, "pause"):
            pass
        found = follow(fleet, lambda _: next(steps)(), tell=told.append)

        results = [(each.command, each.result) for each in (next(found), next(found), next(found))]

        assert results == [("pause", "unfinished"), ("pause", "ok"), ("flush", "unfinished")]
        (away,) = told
        assert away.startswith("the audit cannot be read now, and is tried again each second: ")
        with pytest.raises(RuntimeError, match="StopIteration"):  # no step is left
            next(found)
        assert told[1:] == ["the audit can be read again"]


def test_following_a_redis_that_is_away_fails_at_once() -> None:
    """Whoever begins with a Redis that does not answer is told, and does not wait."""
    fleet = Fleet(open_client(NOWHERE, timeout_seconds=1), "vwo")

    with pytest.raises(QueueUnavailable):
        next(follow(fleet, lambda _: None))


def test_an_outcome_tells_all_by_itself() -> None:
    """Where the stream has dropped the first entry already, the second one still says who and what."""
    ended = AuditEntry(
        "1", "outcome", "w", "h", "cli", "pause", done=2, result="ok", duration_ms=5, id="105-0"
    )

    change = change_of(ended)
    assert (change.who, change.at_ms, change.result) == ("w", 100, "ok")


def test_the_actor_is_who_runs_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's name, behind sudo that of the person; in a container without names, the number."""
    monkeypatch.setattr(getpass, "getuser", lambda: "root")
    monkeypatch.delenv("SUDO_USER", raising=False)
    plain = actor_of_cli().name
    monkeypatch.setenv("SUDO_USER", "alice")
    behind_sudo = actor_of_cli("django")
    monkeypatch.setattr(getpass, "getuser", lambda: {}["no such user"])

    assert plain == "root"
    assert (behind_sudo.name, behind_sudo.door) == ("alice as root", "django")
    assert actor_of_cli().name == f"user {os.getuid()}"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"done": 3, "matched": 5}, "3 of 5 events"),
        ({"done": 1}, "1 event"),
        ({"done": 0, "command": "dead export"}, "-"),
        ({"done": 2, "command": "dead export"}, "2 events"),
        ({"done": 1, "matched": 1, "unit": "queues"}, "1 of 1 queue"),
    ],
)
def test_what_a_change_has_done_is_told_alike(told: dict[str, Any], words: str) -> None:
    """An export that removed nothing has changed no events; the screen of `top` says the same."""
    words_of = {"command": "dead purge", **told}
    entry = AuditEntry("1", "outcome", "ada", "host", "cli", result="ok", **words_of)

    change = change_of(entry)

    assert change.amount == words
    assert words in [cell.plain for cell in _cells(change, 0)]
