"""The demo as a user starts it: its numbers add up, and however it ends, nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tools.processes import Process
from tools.waiting import wait_until
from vwo_celery.demo.deliveries import Delivery
from vwo_celery.demo.replica import ReplicaReport
from vwo_celery.demo.report import Sum, add_up
from vwo_celery.operating.looks.inspector import Ledger
from vwo_celery.testing.standin.tally import Delays, Stats

#: The entry point of `vwo-celery`, wherever the package is.
COMMAND = ("python", "-c", "from vwo_celery.cli import main; main()", "demo")
WHOLE_DEMO_SECONDS = 90
ENDED_SECONDS = 20
MARKER = "DEMO_OF_A_TEST"
PROC = Path("/proc")
needs_proc = pytest.mark.skipif(not PROC.exists(), reason="the kernel does not list processes here")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start a demo in an empty folder, with its temporary files in tmp_path / "files"."""
    started: list[Process] = []
    for name in ("files", "here"):
        (tmp_path / name).mkdir()

    def start(*options: str) -> Process:
        process = Process(
            *COMMAND, *options,
            folder=tmp_path, name="demo", cwd=tmp_path / "here",
            env={
                "TMPDIR": str(tmp_path / "files"),
                MARKER: str(tmp_path),
                "VWO_CELERY_REDIS_URL": "redis://127.0.0.1:1/0",  # not part of the demo
            },
        )  # fmt: skip
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.stop()


def left_files(folder: Path) -> list[str]:
    """The files that the demo left in its temporary folder and in its working folder."""
    return [str(path) for name in ("files", "here") for path in (folder / name).rglob("*")]


def left_programs(folder: Path) -> list[str]:
    """The running programs with this test's marker: the demo and its children."""
    marker = f"{MARKER}={folder}".encode()
    found = []
    for path in PROC.glob("[0-9]*"):
        try:
            if marker in (path / "environ").read_bytes().split(b"\0"):
                found.append((path / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has just ended, or is another user's
    return found


def shown(log: str, label: str) -> int:
    """The table's number beside *label*."""
    found = re.search(rf"^  {label} +([\d,]+)", log, re.MULTILINE)
    assert found, f"no {label} in:\n{log}"
    return int(found.group(1).replace(",", ""))


@needs_proc
def test_the_demo_adds_up(demo: Callable[..., Process], tmp_path: Path) -> None:
    """A worker dies with a leased batch, every event still arrives, and every program has ended."""
    process = demo("--seconds", "6", "--events-per-second", "250")

    code = process.wait(WHOLE_DEMO_SECONDS)

    log = process.log()
    assert code == 0, log
    assert re.search(r"worker 1 killed \(SIGKILL\): it held \d+ events", log), log
    assert "worker 1 started again" in log
    assert re.search(r"lease of 5 s ran out: worker \d sent the same \d+ events, attempt 2", log)
    assert shown(log, "Events") == shown(log, "Delivered") > 0
    assert shown(log, "Lost") == 0
    assert shown(log, "In real time") - shown(log, "Requests") == shown(log, "Requests saved") > 0
    assert re.search(r"Ledger +balanced", log)
    assert "Problem" not in log
    assert left_files(tmp_path) == []
    assert left_programs(tmp_path) == []


@needs_proc
@pytest.mark.parametrize(
    ("number", "at"),
    [
        (signal.SIGINT, "stand-in for VWO"),
        (signal.SIGINT, "with VWO's own SDK"),
        (signal.SIGTERM, "killed (SIGKILL)"),
    ],
    ids=["while-it-starts", "while-visitors-come", "while-a-worker-is-dead"],
)
def test_an_interrupted_demo_leaves_nothing(
    demo: Callable[..., Process], tmp_path: Path, number: signal.Signals, at: str
) -> None:
    """After Ctrl-C or SIGTERM at any moment, no program and no file is left."""
    process = demo("--seconds", "20")
    process.wait_for_log(at, ENDED_SECONDS)
    during = left_programs(tmp_path)

    os.kill(process.pid, number)

    assert process.wait(ENDED_SECONDS) == 130, process.log()
    assert len(during) > 2, during
    assert left_programs(tmp_path) == []
    assert left_files(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends programs with their parent")
def test_no_program_outlives_a_demo_that_is_killed(
    demo: Callable[..., Process], tmp_path: Path
) -> None:
    """After a SIGKILL of the demo, which ends nothing itself, no worker and no worker's child is left."""
    process = demo("--seconds", "20")
    process.wait_for_log("with VWO's own SDK", ENDED_SECONDS)
    assert len(left_programs(tmp_path)) > 8

    process.kill()

    wait_until(lambda: not left_programs(tmp_path), ENDED_SECONDS, what="end of all programs")


def test_a_missing_sdk_is_said_with_the_remedy(
    tmp_path: Path, demo: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra, the demo names the extra to install."""
    hide = tmp_path / "here" / "sitecustomize.py"
    hide.write_text(
        "import importlib.metadata as m\n"
        "def version(name, known=m.version):\n"
        "    if name.startswith('vwo-fme'):\n"
        "        raise m.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "m.version = version\n"
    )

    process = demo()

    assert process.wait(ENDED_SECONDS) == 1
    assert "pip install '.[demo]' in a checkout" in process.log()


# -- the summary: every broken promise is found

LEDGER = Ledger("q", 4, 4, 0, 0, 0, 0, 0, True)
STATS = Stats(2, 2, 0, 0, {}, 4, 0, 0, 2, 100, 0, 0.0, 1.0, Delays(0.1, 0.2, 0.2, 0.2))


def total(**changed: object) -> Sum:
    """The summary of a demo in which two replicas enqueued two events each, with *changed* facts."""
    facts: dict[str, object] = {
        "reports": [
            ReplicaReport("1", [0.1, 0.3], [0.01], ["a", "b"], []),
            ReplicaReport("2", [0.2], [0.01], ["c", "d"], []),
        ],
        "journal": ["a", "b", "c", "d"],
        "stats": STATS,
        "ledger": LEDGER,
        "deliveries": [Delivery("x", 1, 2, "worker 1"), Delivery("y", 1, 2, "worker 1")],
    }
    return add_up(**{**facts, **changed})  # type: ignore[arg-type]


def test_the_sum_of_a_good_demo_has_no_problem() -> None:
    """Events, calls and requests that add up are no problem."""
    good = total()

    assert good.problems() == []
    assert (good.enqueued, good.delivered, good.lost, good.duplicates) == (4, 4, 0, 0)
    assert (good.calls, good.requests, good.saved) == (3, 2, 1)
    assert (good.call_p50, good.delay_p50, good.delay_p95) == (0.2, 0.1, 0.2)


def test_duplicates_are_no_problem_where_a_retry_explains_them() -> None:
    """A duplicate of a batch with a second attempt is no problem: delivery is at least once."""
    again = [Delivery("x", 2, 2, "worker 2"), Delivery("y", 1, 2, "worker 1")]

    explained = total(journal=["a", "b", "a", "b", "c", "d"], deliveries=again)
    unexplained = total(journal=["a", "b", "a", "b", "c", "d"])

    assert (explained.duplicates, explained.problems()) == (2, [])
    assert (unexplained.duplicates, len(unexplained.problems())) == (2, 1)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"journal": ["a", "b", "c"]}, "1 events are lost"),
        ({"journal": ["a", "b", "c", "d", "e"]}, "1 events reached VWO that nobody enqueued"),
        ({"ledger": msgspec.structs.replace(LEDGER, balanced=False)}, "out of balance"),
        (
            {"journal": ["a", "b"], "ledger": Ledger("q", 4, 2, 0, 0, 2, 0, 0, True)},
            "2 events are not delivered yet",
        ),
        (
            {"journal": ["a", "b"], "ledger": Ledger("q", 4, 2, 2, 0, 0, 0, 0, True)},
            "2 events are dead",
        ),
        ({"ledger": Ledger("q", 5, 5, 0, 0, 0, 0, 0, True)}, "the ledger counts 5 events"),
        (
            {"reports": [ReplicaReport("1", [0.1], [0.01], ["a", "b", "c", "d"], ["e"])]},
            "1 events were dropped",
        ),
    ],
)
def test_the_sum_sees(changed: dict[str, object], problem: str) -> None:
    """Every broken promise is a problem, and leads to exit code 1."""
    found = total(**changed).problems()

    assert len(found) == 1
    assert problem in found[0]
