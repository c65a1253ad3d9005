"""No output of a whole installation, working or failing, holds a password or an SDK key."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import kombu
import pytest
import redis as redis_py
from click.testing import CliRunner
from redis.exceptions import RedisError

from tools.installation import ACCEPTANCE, KEY, Installation
from tools.waiting import wait_until
from vwo_celery import Settings
from vwo_celery.cli import main
from vwo_celery.queue.words.keys import fleet_keys
from vwo_celery.testing import Fault, RedisServer, Standin

#: Has characters that a URL must encode, and some that a library may take for the end of a part.
PASSWORD = "hunter2@:/?# %hunter2\u00e9"
#: Texts that are a leak: the password in any spelling, and more of the key than its end.
TELLTALES = ("hunter2", KEY[:-4])
_END = "all that was asked so far"
#: An application with every log switched on; it prints every object that it has.
APPLICATION = """
import logging, sys, traceback
logging.basicConfig(level=logging.DEBUG)
import asyncio, vwo_celery
from vwo_celery import aio
from vwo_celery.producing.queue import producer_of
where, key, calls = sys.argv[1:4]
destination = vwo_celery.Destination(
    account_id=888888, sdk_key=key, generation="legacy", base_url=where)
options = {"events_per_request": 2, "request_time_interval": 60,
           "flush_callback": "delivery_app:raise_flush"}

def tell(call, *arguments, **named):
    try:
        print(repr(call(*arguments, **named)))
    except Exception:
        traceback.print_exc()

def event(name):
    return {"u": name, "sId": 1, "visitor_ua": "", "visitor_ip": "", "c": 2, "e": 101, "eT": 1}

async def over_asyncio():
    queue = aio.connect(destination, batch_event_data=options)
    print(repr(queue), await queue.enqueue(event("a")))
    await queue.aclose()

queue = vwo_celery.connect(destination, batch_event_data=options)
producer = producer_of(queue)
print(repr([destination, queue, producer, queue.settings, producer.fleet, producer.shards]),
      vars(producer).keys())
tell(producer.register)
for number in range(int(calls)):
    tell(queue.enqueue, event(f"e{number}"))
tell(queue.enqueue_many, [{"u": float("nan")}, object()])
tell(queue.flush_events, 0.2)
tell(queue.spooled)
tell(vwo_celery.health)
tell(asyncio.run, over_asyncio())
"""
COMMANDS = (
    ("status",), ("workers", "--json"), ("queues", "--json"), ("ledger",), ("doctor",),
    ("dead", "list", "--events"),
    ("spool", "status"), ("flush", "--wait", "0.2"), ("pause", "--all"), ("resume", "--all"),
)  # fmt: skip


class Guarded:
    """An installation whose Redis requires a password, and all its output."""

    def __init__(self, server: RedisServer, standin: Standin, folder: Path) -> None:
        self.server = server
        self.url = server.url.replace("//", f"//:{quote(PASSWORD, safe='')}@")
        self.operator: Any = redis_py.Redis(port=server.port, password=PASSWORD)
        self.installation = Installation(self.url, standin, folder)
        self.installation.env |= {
            "VWO_CELERY_SPOOL_DIR": str(folder / "spool"), "VWO_CELERY_ENQUEUE_TIMEOUT_SECONDS": "1",
        }  # fmt: skip
        self.said: dict[str, str] = {}
        self.commands: list[str] = []

    def watch_redis(self) -> None:
        """Record every command that Redis receives, until the connection is closed."""

        # Without a timeout, which redis-py sets by default: workers are silent while they start.
        client: Any = redis_py.Redis(port=self.server.port, password=PASSWORD, socket_timeout=None)

        def watch() -> None:
            with suppress(RedisError), client, client.monitor() as monitor:
                self.commands.append("")
                for command in monitor.listen():
                    self.commands.append(str(command["command"]))

        threading.Thread(target=watch, daemon=True).start()
        wait_until(lambda: self.commands, 10)

    def commands_so_far(self) -> list[str]:
        """Every command that Redis has received so far."""
        self.operator.echo(_END)
        wait_until(lambda: any(_END in line for line in list(self.commands)), 30)
        return list(self.commands)

    def start_workers(self) -> None:
        """Start a worker and a beat, each with all logs on."""
        self.worker = self.installation.worker("--loglevel=DEBUG")
        self.installation.beat()

    def ask_everything(self, when: str, *, calls: int = 4) -> None:
        """Run an application and the operator's commands with all their output."""
        script = ("-c", APPLICATION, self.installation.standin.url, KEY, str(calls))
        said = [self._run(*script)]
        said += [_command(words, self.installation.env) for words in COMMANDS]
        self.said[when] = "\n".join(said)

    def _run(self, *arguments: str) -> str:
        ran = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60,
            env={**_plain_environment(), **self.installation.env}, cwd=ACCEPTANCE,
        )  # fmt: skip
        return f"{arguments[-1]}: {ran.stdout}{ran.stderr}"

    def everything(self) -> dict[str, str]:
        """All output, by source."""
        logs = {process.name: process.log() for process in self.installation.started}
        return self.said | logs | {"reports": self.installation.reports_path.read_text()}


def _command(words: Sequence[str], env: dict[str, str]) -> str:
    ran = CliRunner().invoke(main, words, env=env)
    failure = "".join(traceback.format_exception(ran.exception)) if ran.exception else ""
    return f"{words}: {ran.output}{failure}"


def _plain_environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("VWO_CELERY_")}


@pytest.fixture
def guarded(standin: Standin, tmp_path: Path) -> Iterator[Guarded]:
    """The installation, with only Redis started."""
    with RedisServer(arguments=("--requirepass", PASSWORD), appendonly=True) as server:
        made = Guarded(server, standin, tmp_path)
        try:
            yield made
        finally:
            made.installation.stop()
            made.operator.close()


def leaks(texts: dict[str, str]) -> list[str]:
    """The lines that hold a secret, each with its source."""
    found = []
    for where, text in texts.items():
        lines = [*text.splitlines(), re.sub(r"\s", "", text)]  # a table may break a line anywhere
        hits = (line for line in lines if any(telltale in line for telltale in TELLTALES))
        found += [f"{where}: {line[:300]}" for line in hits]
    return found


def test_a_whole_installation_keeps_its_secrets(guarded: Guarded) -> None:
    """Logs at DEBUG, tracebacks, command output and task messages hold no secret, working or
    failing.

    The key is on the wire to VWO and in the registration and its copies, and nowhere else in Redis.
    """
    guarded.watch_redis()
    guarded.start_workers()
    echo = b'{"message":"who is %b?"}' % KEY.encode()
    guarded.installation.standin.fail(Fault(status=500, body=echo), Fault(status=503, body=echo))

    guarded.ask_everything("all is well")
    wait_until(lambda: len(guarded.installation.standin.events) >= 4, 20)
    commands = guarded.commands_so_far()
    messages = _task_messages(commands)
    with_key = _keys_that_hold(guarded.operator, KEY)
    with_password = _keys_that_hold(guarded.operator, "hunter2")
    assert guarded.operator.hlen(fleet_keys("vwo").workers) == 1
    _change_password(guarded, "another")
    guarded.ask_everything("the password is wrong", calls=1)
    guarded.worker.wait_for_log("invalid username-password pair")
    _change_password(guarded, PASSWORD)
    guarded.server.kill()
    guarded.ask_everything("Redis is gone", calls=1)
    guarded.worker.wait_for_log("Cannot connect to redis://")
    guarded.server.start()
    wait_until(lambda: _is_settled(guarded), 30)

    said = guarded.everything()
    assert leaks(said) == []
    assert leaks({"task messages": "\n".join(messages)}) == []
    assert with_password == set()
    assert with_key
    assert all(_may_hold_an_sdk_key(name) for name in with_key), with_key
    _check_that_something_was_said(said, messages)


def _task_messages(commands: list[str]) -> list[str]:
    """Decoded bodies and headers of the messages sent to the broker."""
    pushed = [line for line in commands if line.startswith("LPUSH broker:")]
    bodies = re.findall(r"body\W+([A-Za-z0-9+/]{8,}=*)", "\n".join(pushed))
    return [*pushed, *(base64.b64decode(body).decode() for body in bodies)]


def _keys_that_hold(redis: Any, text: str) -> set[str]:
    """Names of the keys in Redis whose value, as Redis stores it for itself, holds *text*."""
    read = {
        "hash": redis.hgetall,
        "string": redis.get,
        "list": lambda key: redis.lrange(key, 0, -1),
    }
    read |= {
        "stream": redis.xrange,
        "set": redis.smembers,
        "zset": lambda key: redis.zrange(key, 0, -1),
    }
    values = {key: read[redis.type(key).decode()](key) for key in redis.scan_iter()}
    return {key.decode() for key, value in values.items() if text in repr(value)}


def _may_hold_an_sdk_key(name: str) -> bool:
    """Whether a key holds registrations: the list of queues, or a shard's copy of its own."""
    return name == fleet_keys("vwo").queues or name.endswith("}:meta")


def _change_password(guarded: Guarded, password: str) -> None:
    guarded.operator.config_set("requirepass", password)
    for kind in ("normal", "pubsub"):
        guarded.operator.client_kill_filter(_type=kind, skipme=True)
    guarded.operator.close()
    guarded.operator = redis_py.Redis(port=guarded.server.port, password=password)


def _is_settled(guarded: Guarded) -> bool:
    with suppress(RedisError):
        return not guarded.operator.keys("*:leases")
    return False


def _check_that_something_was_said(said: dict[str, str], messages: list[str]) -> None:
    """Check that the texts report the test's actions; otherwise the lack of secrets proves nothing."""
    assert "…cdef" in said["all is well"]
    assert "RuntimeError: the callback's own fault" in said["worker"]
    assert "outcome=released answer=500" in said["worker"]
    assert "VWO has not accepted queue" in said["worker"]
    assert "'released': {'batches':" in said["worker"]
    assert "invalid username-password pair" in said["the password is wrong"]
    assert "Connection refused" in said["Redis is gone"]
    assert r"who is \u2026cdef?" in said["reports"]
    assert any("vwo_celery.deliver" in message for message in messages)
    assert any(message.startswith("[[") for message in messages)


@pytest.mark.parametrize("form", ["user", "query", "unix", "unix_query"])
def test_every_form_of_a_password_in_a_url_works_and_is_masked(
    form: str, tmp_path: Path, standin: Standin
) -> None:
    """A password before the @ or in the query, over TCP or a Unix socket, works for queues and for
    Celery's broker, and is masked.
    """
    socket = tmp_path / "redis.sock"
    with RedisServer(arguments=("--requirepass", PASSWORD, "--unixsocket", str(socket))) as server:
        secret = quote(PASSWORD, safe="")
        url = {
            "user": f"redis://default:{secret}@127.0.0.1:{server.port}/1",
            "query": f"redis://127.0.0.1:{server.port}/1?password={secret}",
            "unix": f"unix://default:{secret}@{socket}?db=1",
            "unix_query": f"unix://{socket}?db=1&password={secret}",
        }[form]
        ran = subprocess.run(
            [sys.executable, "-c", APPLICATION, standin.url, KEY, "1"],
            capture_output=True, text=True, check=False, timeout=60, cwd=ACCEPTANCE,
            env={**_plain_environment(), "VWO_CELERY_REDIS_URL": url, "VWO_CELERY_SPOOL_DIR": ""},
        )  # fmt: skip

        said = ran.stdout + ran.stderr
        assert "Receipt(where='redis'" in said
        assert leaks({form: said}) == []
        with redis_py.Redis(port=server.port, password=PASSWORD, db=1) as client:
            assert client.exists(fleet_keys("vwo").queues)
        with kombu.Connection(Settings(redis_url=url).effective_broker_url) as broker:
            assert broker.default_channel.client.exists(fleet_keys("vwo").queues)
            assert leaks({"broker": f"{broker!r} {broker.as_uri()}"}) == []
