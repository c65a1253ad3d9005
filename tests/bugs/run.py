"""Makes each deliberate bug in a copy of the package and sees a test fail: `make bugs`.
    python tests/bugs/run.py [WORD...]    only the bugs whose file, promise or test has one of the words
    python tests/bugs/run.py --write      write the table of all of them into docs/reliability.md
Exits with 1 if a bug was not caught. Before the bugs, each test is run without any: a test that fails
anyway catches nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from bugs.bug import Bug  # noqa: E402
from bugs.catalogue import BUGS  # noqa: E402
from copy_checkout import CHECKOUT, PLUGIN, copy_checkout  # noqa: E402

PAGE = CHECKOUT / "docs" / "reliability.md"
BEGIN, END = "<!-- bugs: begin -->", "<!-- bugs: end -->"
_TIMEOUT_SECONDS = 300


def fails(copy: Path, selection: str) -> bool:
    """Whether the selected tests fail in a copy of the checkout; no test at all is an error."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    file, _, options = selection.partition(" ")
    try:
        ended = subprocess.run(
            [*command, f"tests/{file}", *shlex.split(options)],
            cwd=copy, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(copy)},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    if ended.returncode not in (0, 1):
        raise SystemExit(f"pytest could not run {selection}:\n{ended.stdout[-2000:]}{ended.stderr}")
    return ended.returncode == 1


def try_all(bugs: Iterable[Bug], copy: Path) -> list[Bug]:
    """The bugs that no test caught."""
    sound: dict[str, bool] = {}
    missed = []
    for bug in bugs:
        if bug.caught_by not in sound:
            sound[bug.caught_by] = not fails(copy, bug.caught_by)
        before = bug.make_in(copy / "vwo_celery")
        caught = sound[bug.caught_by] and fails(copy, bug.caught_by)
        (copy / "vwo_celery" / bug.file).write_text(before, "utf-8")
        if not caught:
            missed.append(bug)
        fate = "caught" if caught else "MISSED" if sound[bug.caught_by] else "FAILS ANYWAY"
        print(f"{fate:>12}  {bug.file}: {bug.bug}", flush=True)
    return missed


def table(bugs: Iterable[Bug]) -> str:
    """The table of all bugs as Markdown."""
    rows = [f"| {bug.promise} | {bug.bug} | {_test(bug)} |" for bug in bugs]
    return "\n".join(["| promise | deliberate bug | caught by |", "|---|---|---|", *rows])


def _test(bug: Bug) -> str:
    file, _, options = bug.caught_by.partition(" ")
    words = shlex.split(options)
    return f"`{file}`" + (f" `{words[words.index('-k') + 1]}`" if "-k" in words else "")


def write(bugs: Iterable[Bug]) -> None:
    """Write the table into docs/reliability.md."""
    text = PAGE.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    PAGE.write_text(f"{head}{BEGIN}\n{table(bugs)}\n{END}{tail}", "utf-8")


def main(words: list[str]) -> int:
    """Run as the command line's words say."""
    if "--write" in words:
        write(BUGS)
        words.remove("--write")
        if not words:
            return 0
    chosen = [bug for bug in BUGS if not words or any(word in " ".join(bug) for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        copy_checkout(copy)
        shutil.copytree(CHECKOUT / "vwo_celery", copy / "vwo_celery")
        shutil.copy2(CHECKOUT / PLUGIN, copy)
        missed = try_all(chosen, copy)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} bugs caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
