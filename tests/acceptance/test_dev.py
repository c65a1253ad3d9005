"""`vwo-celery dev` runs what local development needs, and leaves nothing, however it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path

import msgspec
import pytest
import redis as redis_py

import vwo_celery
from tools.command_line import run_command
from tools.processes import Process
from tools.selective_vwo import event
from tools.waiting import wait_until
from vwo_celery.demo.folders import KeptFolder
from vwo_celery.testing import free_port

KEPT = ("vwo*", "_kombu*", "unacked*")


def children_of(pid: int) -> set[int]:
    """Ids of the processes that *pid* has started and that run."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(words[1]) == pid and words[0] not in "ZX":
            found.add(int(path.parent.name))
    return found


def runs(pid: int) -> bool:
    """Whether a process of that id runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_open(port: int) -> bool:
    """Whether somebody listens on *port*."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Dev:
    """One `vwo-celery dev` with a temporary folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.process = Process(
            "python", "-m", "vwo_celery", "dev", f"--port={self.port}", *options,
            folder=folder, name="dev", env={"TMPDIR": str(self.temporary)},
            stop_timeout_seconds=30,
        )  # fmt: skip

    def deliver(self, url: str) -> None:
        """Enqueue an event as an application does, and wait until the stand-in has counted it."""
        destination = vwo_celery.Destination(
            account_id=1,
            sdk_key="k" * 32,
            generation="fme",
            base_url=f"http://localhost:{self.port}",
        )
        queue = vwo_celery.connect(destination, redis_url=url, enqueue_timeout_seconds=5.0)
        assert queue.enqueue(event(1))
        self.process.wait_until(lambda: self.events() == 1, 60, what="the event at the stand-in")

    def events(self) -> int:
        """Events that the stand-in has counted."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats") as answer:
            return int(msgspec.json.decode(answer.read())["events"])


@pytest.fixture(
    params=[signal.SIGINT, signal.SIGHUP, signal.SIGKILL],
    ids=["Ctrl-C", "terminal-closed", "killed"],
)
def how(request: pytest.FixtureRequest) -> signal.Signals:
    """The signal that ends it."""
    number: signal.Signals = request.param
    return number


def test_it_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    """Redis, stand-in, worker and beat run; afterwards no process, no port and no file is left.

    The fifth program deletes the folder, also of one that was killed.
    """
    redis_port = free_port()
    dev = Dev(tmp_path, f"--redis-port={redis_port}")
    with dev.process as process:
        process.wait_for_log("Ctrl-C ends everything.", 60)
        url = f"redis://127.0.0.1:{redis_port}/0"
        assert f"export VWO_CELERY_REDIS_URL={url}" in process.log()
        assert f'base_url="http://localhost:{dev.port}"' in process.log()
        children = children_of(process.pid)
        assert len(children) == 5
        dev.deliver(url)
        said = run_command(["--redis-url", url, "doctor", "--json"]).stdout
        (card,) = json.loads(run_command(["--redis-url", url, "workers", "--json"]).stdout)[
            "workers"
        ]
        kept = next(each for each in json.loads(said) if each["check"] == "persistence")
        assert kept["state"] == "ok", "whoever begins is shown no problem"
        assert card["card"]["pool"] == "threads", "as Celery's --pool takes it"

        os.kill(process.pid, how)
        code = process.wait(60)

        try:
            wait_until(lambda: not any(map(runs, children)), what="the end of all programs")
        finally:
            for pid in filter(runs, children):
                os.kill(pid, signal.SIGKILL)
    assert code == (-how if how == signal.SIGKILL else 0)
    assert not is_open(dev.port)
    assert not is_open(redis_port)
    assert list(dev.temporary.iterdir()) == []


@pytest.mark.declared_keys(*KEPT)
def test_a_program_that_ends_ends_all(
    tmp_path: Path, redis: redis_py.Redis, redis_url: str
) -> None:
    """With a Redis that runs already: a program that dies is told with its last lines; exit code 1."""
    dev = Dev(tmp_path, "--redis-url", redis_url)
    with dev.process as process:
        process.wait_for_log("beat: Starting", 60)
        children = children_of(process.pid)
        beat = max(children)  # the last one that was started
        os.kill(beat, signal.SIGKILL)

        assert process.wait(60) == 1

        log = process.log()
    assert "beat has ended by itself, exit code -9; its last lines:" in log
    assert "beat: Starting" in log.partition("its last lines:")[2]
    assert not any(map(runs, children))
    assert redis.ping()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--redis-url", "redis://127.0.0.1:1/0"), "cannot start: "),
        (
            ("--redis-url", "redis://127.0.0.1:1/0", "--data", "x"),
            "are of the Redis that is started",
        ),
    ],
)
def test_what_cannot_start_says_so(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    """A Redis that does not answer, and options that contradict each other, are told at once."""
    dev = Dev(tmp_path, *options)
    with dev.process as process:
        assert process.wait(60) == (1 if len(options) == 2 else 2)
        assert words in process.log()
    assert list(dev.temporary.iterdir()) == []


def test_what_somebody_has_is_named_with_the_way_out(tmp_path: Path) -> None:
    """A port that is taken, and a folder that cannot be made or that another one uses, are told."""
    (tmp_path / "file").touch()
    used = KeptFolder(tmp_path / "used")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        nowhere = tmp_path / "file" / "data"
        for number, (option, value, words) in enumerate(
            [
                ("--port", port, f"port {port} is taken; name another one with --port"),
                ("--redis-port", port, f"port {port} is taken; name another one with --redis-port"),
                ("--data", nowhere, f"{nowhere} cannot hold data"),
                ("--data", tmp_path / "used", f"{tmp_path / 'used'} is in use by another"),
            ]
        ):
            folder = tmp_path / str(number)
            folder.mkdir()
            dev = Dev(folder, f"{option}={value}")
            with dev.process as process:
                assert process.wait(60) == 1
                assert f"cannot start: {words}" in process.log()
            assert list(dev.temporary.iterdir()) == []
    used.close()
