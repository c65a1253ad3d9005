"""`make proof` tries each line, whatever fails before it, and its table tells what became of each."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from release.proof import _OF_MAKE, CLAIMS, Claim, chosen, main

CHECKOUT = Path(__file__).parents[3]
MAKEFILE = (CHECKOUT / "Makefile").read_text("utf-8")
#: Else the make that runs these tests hands its own ARGS on.
WITHOUT_MAKE = {name: text for name, text in os.environ.items() if name not in _OF_MAKE}


def claim(name: str, *command: str) -> Claim:
    """A line that takes no time."""
    return Claim(name, f"what {name} shows", command, f"make {name}-longer", 2)


HOLDS = claim("holds", "true")
BREAKS = claim("breaks", "false")
MISSING = claim("missing", "/there/is/no/such/program")


def test_a_line_that_fails_stops_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    """All lines run; the table has each one's verdict, time and longer form; the exit code is 1."""
    code = main([], [BREAKS, MISSING, HOLDS])

    told = capfd.readouterr().out
    assert told.endswith('1 passed, 2 FAILED\nagain: make proof ARGS="breaks missing"\n')
    rows = {line.split()[0]: line for line in told.splitlines() if "-longer" in line}
    assert code == 1
    assert "FAILED" in rows["breaks"]
    assert "exit code 1" in rows["breaks"]
    assert "FAILED" in rows["missing"]
    assert re.search(r"passed +\d+ s .*make holds-longer", rows["holds"])


def test_it_says_beforehand_how_long_it_takes(capfd: pytest.CaptureFixture[str]) -> None:
    """The first line names the time of the chosen lines; if each holds, the exit code is 0."""
    speaking = claim("speaks", sys.executable, "-c", "print('hello')")

    code = main(["speaks"], [BREAKS, speaking])

    first, *rest = capfd.readouterr().out.splitlines()
    assert code == 0
    assert "1 lines, about 2 min 0 s" in first
    assert "hello" in rest


def test_arguments_of_make_stay_with_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make proof ARGS=demo` does not run `make demo ARGS=demo`."""
    monkeypatch.setenv("MAKEFLAGS", "-- ARGS=demo")
    monkeypatch.setenv("ARGS", "demo")
    program = "import os, sys; sys.exit(bool({'ARGS', 'MAKEFLAGS'} & os.environ.keys()))"

    assert main([], [claim("asks", sys.executable, "-c", program)]) == 0


def test_a_name_that_is_none_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """A mistyped line runs nothing, and the names are told."""
    code = main(["hold"], [HOLDS, BREAKS])

    assert code == 2
    assert "hold; there are: holds breaks" in capfd.readouterr().out


def test_lines_run_in_their_own_order() -> None:
    """The order is that of the list, whatever that of the names."""
    assert chosen(["breaks", "holds"], [HOLDS, BREAKS]) == [HOLDS, BREAKS]


@pytest.mark.parametrize("each", CLAIMS, ids=lambda each: each.name)
def test_each_line_is_a_command_that_there_is(each: Claim) -> None:
    """A line and its longer form are targets of the Makefile, or files."""
    for words in (list(each.command), shlex.split(each.longer)):
        target = words[1] if words[0] == "make" else ""
        is_target = re.search(rf"^[\w -]*\b{target}\b[\w -]*:", MAKEFILE, re.MULTILINE)
        assert is_target if target else (CHECKOUT / words[0]).is_file()
    benches = " ".join(each.command).partition("BENCHES=")[2].split()
    assert all((CHECKOUT / path).is_file() for path in benches)


def test_a_name_that_is_none_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    """make knows the names, each of them, and makes no environment for another."""
    environment = tmp_path / "environment"
    command = ("make", "proof", "ARGS=demo nope", f"VENV_TEST={environment}", "PYTHON=false")

    ended = subprocess.run(
        command, cwd=CHECKOUT, env=WITHOUT_MAKE, capture_output=True, text=True, check=False
    )

    known = " ".join(claim.name for claim in CLAIMS)
    assert ended.returncode == 2
    assert f"no line is called nope; there are: {known}." in ended.stderr
    assert not environment.exists()
