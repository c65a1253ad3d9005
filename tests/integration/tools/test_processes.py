"""tools/processes.py ends every program it started and reports failures."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.processes import Process, Processes
from vwo_celery.testing.redis_server import death_bound_launcher

# A single write; print() makes two, and another program's output or a signal could come between.
WAIT = r"import os, signal; os.write(1, b'up\n'); signal.pause()"
FORK = f"import os; os.fork(); {WAIT}"
IGNORE = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"


@pytest.mark.skipif(not death_bound_launcher(), reason="only Linux ends programs with their parent")
def test_a_program_may_be_ended_from_its_first_moment() -> None:
    """A suite in a shell's background ignores SIGQUIT and SIGINT; its programs do not."""
    program = "import signal; print(int(signal.getsignal(signal.SIGQUIT)))"
    in_background = ["sh", "-c", 'trap "" QUIT INT; exec "$0" "$@"']

    told = subprocess.run(
        [*in_background, *death_bound_launcher(), sys.executable, "-c", program],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert told.stdout == f"{int(signal.SIG_DFL)}\n"


def test_a_program_ends_by_sigterm(tmp_path: Path) -> None:
    """`stop` ends a program by SIGTERM and returns its exit code; its log is kept over another start."""
    process = Process("python", "-c", WAIT, folder=tmp_path, name="waiting")

    for _ in range(2):
        with process:
            process.wait_for_log("up")

    assert process.exit_code == -signal.SIGTERM
    assert process.log() == "up\nup\n"


@pytest.mark.parametrize("code", [FORK, IGNORE], ids=["children", "deaf"])
def test_a_program_that_does_not_end_fails_the_test(tmp_path: Path, code: str) -> None:
    """A program that does not end, or leaves children, fails the test; afterwards all are gone."""
    process = Process("python", "-c", code, folder=tmp_path, name="p", stop_timeout_seconds=0.3)
    process.start()
    process.wait_for_log("up")

    with pytest.raises(AssertionError, match=r"there was still \d+ \(python"):
        process.stop()

    process.stop()  # raises nothing if nothing is left


def test_kill_ends_children_too(tmp_path: Path) -> None:
    """`kill` ends children too, as when a machine loses power; `stop` then finds nothing left."""
    with Process("python", "-c", FORK, folder=tmp_path, name="forking") as process:
        process.wait_for_log("up\nup")
        process.kill()

        assert process.exit_code == -signal.SIGKILL


def test_waiting_fails_as_soon_as_the_program_ends(tmp_path: Path) -> None:
    """Waiting fails as soon as the program ends, with its exit code and its last output."""
    with Process("python", "-c", "exit('why')", folder=tmp_path, name="ending") as process:
        with pytest.raises(AssertionError, match=r"(?s)ended with 1 before .*never.*why"):
            process.wait_for_log("never", timeout_seconds=60)

        assert process.wait() == 1


def test_waiting_has_a_deadline(tmp_path: Path) -> None:
    """Waiting fails at its deadline with the program's log; `stop` still works."""
    with Process("python", "-c", WAIT, folder=tmp_path, name="waiting") as process:
        process.wait_for_log("up")

        with pytest.raises(AssertionError, match=r"(?s)in vain.*never.*up"):
            process.wait_for_log("never", timeout_seconds=0.1)
        with pytest.raises(AssertionError, match="still ran"):
            process.wait(timeout_seconds=0.1)


def test_programs_are_ended_together(tmp_path: Path) -> None:
    """All programs are ended, even if one of them fails to end; they share variables."""
    variables = {"GREETING": "hello", "NAME": "you"}
    programs = Processes(tmp_path, env=variables, stop_timeout_seconds=0.5)
    print_both = f"import os; print(os.environ['GREETING'], os.environ['NAME']); {WAIT}"
    good = programs.start("python", "-c", print_both, name="good", NAME="me")
    bad = programs.start("python", "-c", FORK, name="bad")
    good.wait_for_log("up")
    bad.wait_for_log("up\nup")

    with pytest.raises(AssertionError, match="bad"):
        programs.stop()

    assert "hello me" in good.log()
    assert good.exit_code == -signal.SIGTERM
