"""Hostile names, reasons, answers and events: no command's output obeys them or shows a forged line."""

from __future__ import annotations

import json
import socketserver
import sqlite3
import threading
from collections.abc import Iterator

import msgspec
import pytest

from tools.command_line import run_command
from tools.hostile import HOSTILE, harm
from tools.queue_states import Queues
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.holding.declines import note_decline
from vwo_celery.spool.fallback import fallback_of

NAME = f"fme-7-{HOSTILE}"
COMMANDS = (
    ("status", "--all"), ("queues",), ("ledger",), ("health",), ("health", "--beat"), ("doctor",),
    ("dead", "list"), ("dead", "list", "--events"), ("dead", "redrive", "--dry-run"),
    ("dead", "list", "--batch", HOSTILE), ("pause", "--queue", HOSTILE), ("pause", "--all"),
    ("pause", "--all", "--reason", HOSTILE), ("resume", "--all"), ("flush", "--wait", "0"),
    ("spool", "status"), ("spool", "drain", "--timeout", "0"), (HOSTILE,), ("status", f"--{HOSTILE}"),
    ("dead", "list", "--limit", HOSTILE),
)  # fmt: skip


class ErrorReply(socketserver.BaseRequestHandler):
    """A Redis that answers every command with a hostile error."""

    def handle(self) -> None:
        """Answer until the client leaves."""
        text = HOSTILE.replace("\r", "").replace("\n", "").encode()
        while commands := self.request.recv(65_536):
            self.request.sendall((b"-ERR " + text + b"\r\n") * commands.count(b"*"))


@pytest.fixture
def hostile_redis() -> Iterator[str]:
    """URL of a Redis whose every answer is hostile."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), ErrorReply) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


def fill(queues: Queues) -> None:
    """Put hostile text wherever Redis and the spool keep text, into queues that are otherwise sound."""
    queue, other = queues.add(1), queues.add(2, flush_callback="a:b")
    shard, client, keys = queues.shard(queue), queues.client, queues.fleet.keys
    events = [{"visitor": HOSTILE}, json.dumps({"visitor": HOSTILE}, ensure_ascii=False).encode()]
    assert all(queue.enqueue_many([*events, {}, {}, {}, *events, {}, {}, {}]))
    queues.kill(queue, HOSTILE)
    client.lset(shard.keys.batch(queues.kill(queue, HOSTILE).id), -1, HOSTILE)
    queues.fill(queue, 7)
    queues.release(queue, HOSTILE)
    shard.pause(HOSTILE)
    queues.shard(other).hold(2**45, by=HOSTILE, why=HOSTILE)
    queues.fill(other, 7)
    for worker in (HOSTILE, "web"):
        queues.fleet.note_listener(worker)
        note_decline(queues.fleet, other.name, worker, HOSTILE)
    stored = client.hget(keys.queues, other.name)
    client.hset(keys.queues, NAME, stored.replace(b'"a:b"', json.dumps(HOSTILE).encode()))
    client.hset(keys.queues, f"unreadable-{HOSTILE}", HOSTILE)
    client.sadd(keys.watched, f"{NAME}:0", f"stray-{HOSTILE}:0", HOSTILE)
    client.lpush(queues.fleet.shard(f"stray-{HOSTILE}", 0).keys.open, HOSTILE)
    client.lpush(keys.wakeups, msgspec.json.encode([NAME, 0, HOSTILE]), HOSTILE)
    client.hset(keys.pulse, mapping={HOSTILE: 1, "misdirected_by": HOSTILE, "beat": HOSTILE})
    client.hset(shard.keys.meta, mapping={f"dropped:{HOSTILE}": 5, "first_ms": HOSTILE})
    client.hset(shard.keys.info, HOSTILE, HOSTILE)
    client.zadd(shard.keys.dead, {HOSTILE: 1})
    _spool(queues)


def _spool(queues: Queues) -> None:
    """Spool an event of a queue, and give the queue a hostile name."""
    registration = producer_of(queues.add(3)).registration
    spool = fallback_of(queues.settings).spool
    assert spool is not None
    spool.put(registration, [b"{}"])
    (path,) = spool.files.paths()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE queues SET name = ?", (NAME,))
    connection.close()


@pytest.mark.declared_keys("*")
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words)[:24])
def test_hostile_text_harms_no_output(queues: Queues, words: tuple[str, ...]) -> None:
    """Each command shows what Redis and the spool hold, and obeys none of it; nor does its JSON."""
    fill(queues)

    shown = run_command(["--redis-url", queues.settings.redis_url, *words])
    document = run_command(["--redis-url", queues.settings.redis_url, *words, "--json"])

    for result in (shown, document):
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert harm(result.stdout + result.stderr) == ""
    json.loads(document.stdout)


@pytest.mark.declared_keys("*")
def test_what_is_hostile_is_shown(queues: Queues) -> None:
    """An operator sees what there is: escaped in tables, and with its own value in JSON."""
    fill(queues)
    at = ("--redis-url", queues.settings.redis_url)

    listed = run_command([*at, "dead", "list", "--events"])
    (status, dead, spool) = (
        json.loads(run_command([*at, *words, "--json"]).stdout)
        for words in (("status", "--all"), ("dead", "list", "--events"), ("spool", "status"))
    )

    assert r"\x1b[2J" in listed.stdout
    assert HOSTILE in status["listeners"]
    assert {f"{NAME}", f"stray-{HOSTILE}"} <= {queue["queue"] for queue in status["queues"]}
    assert any(HOSTILE.startswith(batch["reason"]) for batch in dead)
    assert {"visitor": HOSTILE} in [
        event for batch in dead for event in batch.get("first_events", ())
    ]
    assert [queue["queue"] for queue in spool["queues"]] == [NAME]


@pytest.mark.parametrize(
    "words", [("status",), ("health",), ("doctor",), ("spool", "drain")], ids="-".join
)
def test_a_hostile_server_harms_no_output(hostile_redis: str, words: tuple[str, ...]) -> None:
    """A server's error is quoted without what a terminal would obey."""
    for more in ((), ("--json",)):
        result = run_command(["--redis-url", hostile_redis, *words, *more])

        assert isinstance(result.exception, SystemExit | None), result.exception
        assert harm(result.stdout + result.stderr) == ""
