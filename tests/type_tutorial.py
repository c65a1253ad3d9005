"""Type docs/tutorial.md into an empty folder, as a newcomer does, and print how long each part took.

    python tests/type_tutorial.py              all of it, with an environment of its own: needs PyPI
    python tests/type_tutorial.py --installed  from "Start what development needs" on, with the
                                               vwo-celery on PATH

One shell gets every block of the page, in order. Programs are saved under the names that the page gives
them. Where the page says "after that", or "once it is ready", it waits for what the reader would see.
Exits 1 if the page does not come true, or takes longer than it promises.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tools.blocks import Block, blocks_of
from tools.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[1]
PAGE = CHECKOUT / "docs" / "tutorial.md"
PROMISED_MINUTES = 10
#: Longest wait for what the page says comes next, s.
PATIENCE_SECONDS = 60
_EXPORT = re.compile(r"^.*?(export VWO_CELERY_\w+=\S+)\s*$", re.MULTILINE)
_PORT = re.compile(r'"proxy_url": "http://localhost:(\d+)"')
_SAVED_AS = re.compile(r"as\s+`(\w+\.py)`")


class Shell:
    """A shell in a folder, as a person uses it: what is typed, and all that was shown."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, text=True, bufsize=1, start_new_session=True,
            env={**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.shown = ""
        self._typed = 0
        threading.Thread(target=self._read, daemon=True).start()

    def type(self, text: str) -> str:
        """Type lines, wait for the prompt, and return what was shown meanwhile."""
        self._typed += 1
        before, prompt = len(self.shown), f"prompt-{self._typed}:"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\nprintf '\\n{prompt}%s\\n' $?\n")
        self.wait_for(rf"(?m)^{prompt}\d+$", since=before)
        shown = self.shown[before:]
        assert f"\n{prompt}0" in f"\n{shown}", f"{text}\n{shown}"
        return shown

    def wait_for(self, pattern: str, *, since: int = 0) -> str:
        """Wait until something was shown; returns all that was shown since *since*."""
        wait_until(lambda: re.search(pattern, self.shown[since:]), PATIENCE_SECONDS, what=pattern)
        return self.shown[since:]

    def close(self) -> None:
        """Leave the shell, and with it what it runs."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill $(jobs -p); wait; exit\n")
        self._process.stdin.close()
        self._process.wait(PATIENCE_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.shown += line


class Reader:
    """A reader of the page at a shell in an empty folder."""

    def __init__(self, folder: Path, shell: Shell) -> None:
        self.folder, self.shell = folder, shell
        self.port = "8080"
        self._page = PAGE.read_text("utf-8").splitlines()

    def follow(self, block: Block) -> None:
        """Do what the page says with a block."""
        text = block.text.replace("CHECKOUT", str(CHECKOUT)).replace(":8080", f":{self.port}")
        if block.language == "python":
            (self.folder / self._name_of(block)).write_text(text, "utf-8")
        elif (
            "export VWO_CELERY_REDIS_URL" not in text
        ):  # that stands for the lines that are printed
            self._type(text)

    def _type(self, text: str) -> None:
        before = len(self.shell.shown)
        if "/stats" in text:  # "after that": once the interval of the batch is over
            self._wait_for_stats("180")
        self.shell.type(text.strip())
        if "vwo-celery dev" in text:
            shown = self.shell.wait_for(r"(?s)ready\..*proxy_url[^\n]*\n", since=before)
            self.port = _PORT.findall(shown)[-1]
            self.shell.type("\n".join(_EXPORT.findall(shown)))

    def _wait_for_stats(self, events: str) -> None:
        wait_until(
            lambda: events in self.shell.type(f"curl -s localhost:{self.port}/stats"),
            PATIENCE_SECONDS, what=f"{events} events at the stand-in", every_seconds=1.0,
        )  # fmt: skip

    def mind_the_port(self) -> None:
        """Put the port that *ready* named into the programs that were saved."""
        for program in self.folder.glob("*.py"):
            text = re.sub(r"localhost:\d+", f"localhost:{self.port}", program.read_text("utf-8"))
            program.write_text(text, "utf-8")

    def _name_of(self, block: Block) -> str:
        before = "\n".join(self._page[: block.line])
        return _SAVED_AS.findall(before)[-1]


def read(folder: Path, *, installed: bool, tell: Callable[[str], None] = print) -> float:
    """Follow the page in *folder*; returns the minutes.

    Raises:
        AssertionError: The page did not come true.
    """
    blocks = list(blocks_of(PAGE))
    if installed:
        first = next(at for at, block in enumerate(blocks) if "vwo-celery dev" in block.text)
        blocks = blocks[first:]
    shell = Shell(folder)
    reader, began = Reader(folder, shell), time.monotonic()
    try:
        for block in blocks:
            started = time.monotonic()
            reader.follow(block)
            tell(f"{time.monotonic() - started:6.1f} s  {block.text.strip().splitlines()[0]}")
        at = len(shell.shown)
        reader.mind_the_port()
        shell.type("python visits.py")
        shell.wait_for(r"100 events delivered, attempt 1", since=at)
    finally:
        shell.close()
    check(shell.shown)
    return (time.monotonic() - began) / 60


def check(shown: str) -> None:
    """What the page promises was shown: the counts of the stand-in, and the ledger."""
    assert re.search(r'"requests":2,.*"events":180,', shown), shown
    assert re.search(r"(?m)^fme-700001\S* +180 +180 ", shown), shown


def main() -> int:
    """Follow the page in a folder that is deleted afterwards; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="vwo-celery-tutorial-") as folder:
        minutes = read(Path(folder), installed="--installed" in sys.argv[1:])
    print(f"{minutes:6.1f} min in all; the page promises {PROMISED_MINUTES}")
    return minutes > PROMISED_MINUTES


if __name__ == "__main__":
    sys.exit(main())
