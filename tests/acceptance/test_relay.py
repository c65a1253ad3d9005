"""`vwo-celery relay` as a program: its options, its processes, its signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from tools.processes import Process
from tools.relays import (
    ACCOUNT,
    EVENT,
    KEY,
    LEGACY,
    RelayClient,
    all_stored,
    read_answer,
    request,
    stored,
)
from tools.serving import serving
from tools.waiting import wait_until
from vwo_celery.cli import main
from vwo_celery.connections import open_client
from vwo_celery.queue.fleet import Fleet
from vwo_celery.testing import RedisServer, Standin, free_port

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

BODY = b'{"ev":[{"u":"A"}]}'
FREE_PORT = ("--listen", "127.0.0.1:0")
#: For so long uvicorn (0.54) goes on by itself once it is told to end, whatever its configuration.
UVICORNS_PAUSE_SECONDS = 0.1
Start = Callable[..., tuple[Process, RelayClient]]


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Start]:
    """Start the program on a free port; it ends with the test, and has logged no key."""
    with serving("relay", tmp_path, redis_url, KEY) as serve:

        def run(*options: str, waits: bool = True, **env: str) -> tuple[Process, RelayClient]:
            process, url = serve(*options, **env)
            client = RelayClient(int(url.rpartition(":")[2]))
            if waits:
                process.wait_until(lambda: client.get("/healthz").status == 200, what="the relay")
            return process, client

        yield run


def test_it_takes_the_events_of_those_that_are_named(start: Start, redis_url: str) -> None:
    """--account may come more than once, also for one account; the log warns of an open one."""
    process, relay = start(
        "--account", f"{ACCOUNT}=first", "--account", f"{ACCOUNT}={KEY}", "--account", "2=*"
    )

    assert relay.post(LEGACY, BODY).status == 200
    assert relay.post(LEGACY.replace(f"a={ACCOUNT}", "a=2"), BODY).status == 200
    assert relay.post(LEGACY.replace(f"a={ACCOUNT}", "a=3"), BODY).status == 400
    assert len(all_stored(redis_url)) == 2
    assert process.log().count("events of account 2 are taken with any key") == 1
    assert f"account {ACCOUNT} are" not in process.log()


def test_its_options_are_settings_too(start: Start, redis_url: str) -> None:
    """Environment variables choose what the command line does not."""
    _, relay = start(
        VWO_CELERY_RELAY_ACCOUNTS=f"{ACCOUNT}={KEY}",
        VWO_CELERY_RELAY_UPSTREAM="http://gateway.example",
    )

    assert relay.post(LEGACY, BODY).status == 200
    assert relay.post(LEGACY.replace(KEY, "c" * 32), BODY).status == 400
    assert [each.host for each in stored(redis_url)] == ["gateway.example"]


@pytest.mark.declared_keys("settings", "refresh")
def test_settings_outlive_the_relay(start: Start) -> None:
    """A relay that is started while VWO is away gives an SDK the settings that another one fetched."""
    target = f"/server-side/v2-settings?a={ACCOUNT}&i={KEY}&sn=vwo-fme-node-sdk&sv=1.35.0"
    settings = {"accountId": int(ACCOUNT), "features": []}
    with Standin(settings=settings, accounts={ACCOUNT: KEY}) as vwo:
        options = ("--account", f"{ACCOUNT}={KEY}", "--upstream", vwo.url)
        process, relay = start(*options)
        fetched = relay.get(target)
        process.stop()
        vwo.stop()

        _, relay = start(*options)
        kept = relay.get(target)

    assert (fetched.status, json.loads(fetched.body)) == (200, settings)
    assert (kept.status, kept.body) == (200, fetched.body)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_finishes_what_was_read(workers: str, start: Start, redis_url: str) -> None:
    """Requests under way are stored and answered, no connection is taken any more, and it exits 0."""
    process, relay = start("--workers", workers)
    with ExitStack() as opened:
        socks = [opened.enter_context(relay.connect()) for _ in range(12)]
        for number, sock in enumerate(socks):
            sock.sendall(request(EVENT, b'{"d":{"n":1%02d}}' % number)[:-1])
        _wait_until_read(process, len(socks))
        process.ask_to_end()
        wait_until(lambda: _refuses(relay.port), what="no more connections")
        until = time.monotonic() + 5 * UVICORNS_PAUSE_SECONDS
        wait_until(lambda: time.monotonic() >= until)
        for sock in socks:
            sock.sendall(b"}")
        statuses = [read_answer(sock).status for sock in socks]

    assert statuses == [200] * 12
    assert process.wait() == 0
    served, ended = (
        process.log().count(f"this process {word}") for word in ("serves", "has ended")
    )
    assert served == ended > 0
    assert sorted(all_stored(redis_url)) == [b'{"d":{"n":1%02d}}' % n for n in range(12)]


def _wait_until_read(process: Process, count: int) -> None:
    """Return once the program, or its children, have accepted so many connections."""

    def accepted() -> bool:
        family = [
            psutil.Process(process.pid),
            *psutil.Process(process.pid).children(recursive=True),
        ]
        found = [
            c for each in family for c in each.net_connections("tcp") if c.status == "ESTABLISHED"
        ]
        return sum(c.laddr.port != 0 and c.raddr.ip == "127.0.0.1" for c in found) >= count

    process.wait_until(accepted, what=f"{count} connections")


def _refuses(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_reads_the_accounts_again(workers: str, start: Start, tmp_path: Path) -> None:
    """Every process learns of a new account without a restart; a mistake in the file changes nothing."""
    file = tmp_path / "accounts"
    file.write_text(f"{ACCOUNT}={KEY}")
    process, relay = start("--accounts", str(file), "--workers", workers)
    _wait_for_each(process, "this process serves", workers)
    assert relay.post(LEGACY, BODY).status == 200
    before = {each.pid for each in psutil.Process(process.pid).children(recursive=True)}

    file.write_text("no list")
    os.kill(process.pid, signal.SIGHUP)
    _wait_for_each(process, "the accounts stay as they were", workers)
    assert relay.post(LEGACY, BODY).status == 200

    file.write_text("2=x")
    os.kill(process.pid, signal.SIGHUP)
    _wait_for_each(process, "takes events of 1 account", workers)
    assert [relay.post(LEGACY, BODY).status for _ in range(20)] == [400] * 20
    assert {each.pid for each in psutil.Process(process.pid).children(recursive=True)} == before


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_while_it_starts(workers: str, start: Start, tmp_path: Path) -> None:
    """A process that does not serve yet reads the accounts again once it does, and does not end."""
    file = tmp_path / "accounts"
    file.write_text(f"{ACCOUNT}={KEY}")
    process, relay = start("--accounts", str(file), "--workers", workers, waits=False)

    file.write_text("2=x")
    os.kill(process.pid, signal.SIGHUP)

    _wait_for_each(process, "takes events of 1 account", workers)
    assert [relay.post(LEGACY, BODY).status for _ in range(20)] == [400] * 20
    assert "has ended" not in process.log()


def _wait_for_each(process: Process, text: str, workers: str) -> None:
    """Return once every process has logged a text."""
    process.wait_until(lambda: process.log().count(text) >= int(workers), what=f"{text}, of each")


def test_a_process_that_dies_is_replaced(start: Start, tmp_path: Path) -> None:
    """The others serve on, and a new one takes its place, also where the file is wrong meanwhile."""
    file = tmp_path / "accounts"
    file.write_text(f"{ACCOUNT}={KEY}")
    process, relay = start("--workers", "2", "--accounts", str(file))
    _wait_for_each(process, "this process serves", "2")
    file.write_text("no list")
    before = _serving(process)
    assert len(before) == 2
    killed = before.pop()

    os.kill(killed, signal.SIGKILL)

    process.wait_until(lambda: len(_serving(process) - {killed}) == 2, what="a new process")
    _wait_for_each(process, "this process serves", "3")
    assert relay.post(LEGACY, BODY).status == 200


def test_processes_end_with_the_one_that_started_them(start: Start) -> None:
    """Where the first process is killed, no other keeps the address."""
    process, relay = start("--workers", "2")
    left = [psutil.Process(each) for each in _serving(process)]

    os.kill(process.pid, signal.SIGKILL)

    wait_until(lambda: not any(each.is_running() for each in left), what="the end of each")
    assert _refuses(relay.port)


def _serving(process: Process) -> set[int]:
    """Ids of the processes that serve for a program."""
    found = set()
    for each in psutil.Process(process.pid).children():
        with suppress(psutil.Error):  # it has just ended
            if "spawn_main" in " ".join(each.cmdline()):
                found.add(each.pid)
    return found


def test_a_client_that_closes_at_once_is_stored_by_the_program(
    start: Start, redis_url: str
) -> None:
    """PHP's way of sending, with the real program: 60 of 60."""
    _, relay = start()
    for number in range(60):
        with relay.connect() as sock:
            sock.sendall(request(EVENT, b'{"d":{"n":%d}}' % number) + b"Connection: close\r\n\r\n")

    wait_until(lambda: len(all_stored(redis_url)) == 60, what="60 events")


def test_what_a_killed_relay_left_on_the_disk_needs_no_request(
    start: Start, tmp_path: Path
) -> None:
    """Events that the disk has reach Redis once a relay runs again, also where no SDK sends any more."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    env = {"VWO_CELERY_REDIS_URL": url, "VWO_CELERY_SPOOL_DIR": str(tmp_path / "spool")}
    process, relay = start(**env)
    assert relay.post(LEGACY, BODY).status == 200
    process.kill()

    with RedisServer(port=port):
        start(**env)
        wait_until(lambda: all_stored(url) == [b'{"u":"A"}'], what="the event in Redis")


# -- how it does not start


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--listen", "0.0.0.0:0"],
            "can be reached from other machines: name the accounts",
        ),
        (["--listen", "nowhere.invalid:80", "--account", "1=x"], "cannot be used"),
        (["--listen", "127.0.0.1:70000"], "has a port beyond 65535"),
        (["--listen", "8099"], "relay_listen must be HOST:PORT"),
        (["--account", "1=sec ret"], "relay_accounts must be a list of ACCOUNT=KEY"),
        (["--accounts", "/nowhere"], "the file of accounts /nowhere cannot be read"),
        (["--upstream", "http://user@host"], "relay_upstream must be"),
        (["--workers", "0"], "relay_workers must be"),
    ],
)
def test_a_wrong_option_ends_it(options: list[str], told: str) -> None:
    """One line says what is wrong, and shows no key; exit code 1."""
    ended = CliRunner().invoke(main, ["relay", *options])

    assert (ended.exit_code, told in ended.output) == (1, True), ended.output
    assert "ret" not in ended.output.replace("secret", "")


def test_an_address_in_use_ends_it() -> None:
    """Two relays cannot have one address."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        ended = CliRunner().invoke(main, ["relay", "--listen", f"127.0.0.1:{port}"])

    assert ended.exit_code == 1
    assert f"127.0.0.1:{port} cannot be used: Address already in use" in ended.output


def test_where_its_server_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what is missing, and the command that installs it."""
    monkeypatch.setattr("vwo_celery.cli.shared.serving.find_spec", lambda name: None)

    ended = CliRunner().invoke(main, ["relay"])

    assert ended.exit_code == 1
    assert "needs uvicorn and httptools, not installed here: pip install" in " ".join(
        ended.output.split()
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_changes_the_batch_options_of_open_queues(
    workers: str, start: Start, tmp_path: Path, redis_url: str
) -> None:
    """Without a further event, all queues of the account have the new options, single ones theirs."""
    file = tmp_path / "accounts"

    def write(options: str) -> None:
        file.write_text(f'{{"{ACCOUNT}": {{"keys": ["{KEY}"], "batchData": {options}}}}}')

    write('{"batchMinSize": 50, "batchUploadTimeInterval": 60000}')
    process, relay = start("--accounts", str(file), "--workers", workers)
    _wait_for_each(process, "this process serves", workers)
    for _ in range(20):  # so that each process has both queues
        assert relay.post(LEGACY, BODY).status == 200
        assert relay.post(EVENT.replace("-fme", ""), b'{"d":{}}').status == 200
    wait_until(
        lambda: _limits(redis_url) == {"legacy": (50, 60_000), "single": (1, 60_000)},
        what="the first options",
    )

    write('{"eventsPerRequest": 7, "flushCallback": "a:b"}')
    os.kill(process.pid, signal.SIGHUP)
    _wait_for_each(process, "the accounts stay as they were", workers)
    write('{"eventsPerRequest": 70}')
    os.kill(process.pid, signal.SIGHUP)
    wait_until(
        lambda: _limits(redis_url) == {"legacy": (70, 600_000), "single": (1, 600_000)},
        what="the new options",
    )

    assert relay.post(LEGACY, BODY).status == 200
    assert len(all_stored(redis_url)) == 41
    assert _limits(redis_url)["legacy"] == (70, 600_000)


def _limits(redis_url: str) -> dict[str, tuple[int, int]]:
    """Events and milliseconds of each queue, as the scripts obey them, by its generation."""
    client = open_client(redis_url, timeout_seconds=5)
    fleet = Fleet(client, "vwo")
    found = {}
    for registration in fleet.registrations().readable.values():
        (shard,) = fleet.all_shards(registration)
        size, interval = client.hmget(shard.keys.meta, "events_per_request", "interval_ms")
        found[registration.destination.generation] = (int(size), int(interval))
    client.close()
    return found
