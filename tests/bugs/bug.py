"""One deliberate bug, as data."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Bug(NamedTuple):
    """A change at one place of the package that breaks a promise.
    Attributes:
        promise: The promise that the bug breaks.
        bug: The change, in words.
        file: Below vwo_celery/.
        old: The text to replace, which the file has exactly once.
        new: Its replacement.
        caught_by: Arguments of pytest: "FILE -k EXPRESSION", below tests/.
    """

    promise: str
    bug: str
    file: str
    old: str
    new: str
    caught_by: str

    def is_in(self, package: Path) -> bool:
        """Whether the file has the text to replace exactly once."""
        return (package / self.file).read_text("utf-8").count(self.old) == 1

    def make_in(self, package: Path) -> str:
        """Change a copy of the package; the file's text before."""
        path = package / self.file
        before = path.read_text("utf-8")
        path.write_text(before.replace(self.old, self.new), "utf-8")
        return before
