"""One deliberate bug, as data."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Bug(NamedTuple):
    """A change of one place of the package that breaks a promise.

    Attributes:
        promise: What no longer holds.
        bug: What was changed, in words.
        file: Below vwo_celery/.
        old: The text that is replaced; it stands there exactly once.
        new: What it is replaced by.
        caught_by: What pytest is asked to run: "FILE -k EXPRESSION", below tests/.
    """

    promise: str
    bug: str
    file: str
    old: str
    new: str
    caught_by: str

    def is_in(self, package: Path) -> bool:
        """Whether the text to be replaced stands there exactly once."""
        return (package / self.file).read_text("utf-8").count(self.old) == 1

    def make_in(self, package: Path) -> str:
        """Change a copy of the package; what the file was before."""
        path = package / self.file
        before = path.read_text("utf-8")
        path.write_text(before.replace(self.old, self.new), "utf-8")
        return before
