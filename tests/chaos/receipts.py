"""Receipts of the applications, read from their files while they run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

#: Places in a receipt that promise delivery: those of our own, a relay's 200, and a request to a relay
#: whose client did not wait.
PROMISES = ("redis", "spooled", "answered", "sent")
#: Beginning of the reason of a receipt whose client had to send again, and how often.
_AGAIN = "again:"


class Receipts:
    """The receipts in a folder, one file per application, read as they are written.
    Attributes:
        promised: Events with a receipt that promises delivery.
        dropped: Number of events with a receipt "dropped", by reason.
        spooled: Number of events with a receipt "spooled".
        repeats: How many times a client sent an event again to a relay, by event.
        next_number: Number of the event after the last one with a receipt, by application.
        longest_ms: Longest call.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: Counter[Path] = Counter()
        self.promised: set[str] = set()
        self.dropped: Counter[str] = Counter()
        self.spooled = 0
        self.repeats: Counter[str] = Counter()
        self.next_number: dict[str, int] = {}
        self.longest_ms = 0.0
        self._lately_ms = 0.0

    def file(self, application: str) -> Path:
        """The file to which *application* writes its receipts."""
        return self._folder / f"{application}.receipts"

    def read(self) -> None:
        """Read the receipts written since the last call."""
        for path in sorted(self._folder.glob("*.receipts")):
            with path.open("rb") as file:
                file.seek(self._read[path])
                news = file.read()
            whole = news[: news.rfind(b"\n") + 1]
            self._read[path] += len(whole)
            for line in whole.decode().splitlines():
                self._take(path.stem, *line.split())

    def take_longest(self) -> float:
        """The longest call of those read since this was last asked, in ms."""
        longest, self._lately_ms = self._lately_ms, 0.0
        return longest

    def _take(
        self, application: str, first: str, count: str, where: str, reason: str, ms: str
    ) -> None:
        start, end = int(first), int(first) + int(count)
        names = [f"{application}-{number}" for number in range(start, end)]
        if reason.startswith(_AGAIN):
            self.repeats.update(dict.fromkeys(names, int(reason.removeprefix(_AGAIN))))
        if where in PROMISES:
            self.promised.update(names)
        elif where == "dropped":
            self.dropped[reason] += int(count)
        self.spooled += int(count) * (where == "spooled")
        self.next_number[application] = max(end, self.next_number.get(application, 0))
        self.longest_ms = max(self.longest_ms, float(ms))
        self._lately_ms = max(self._lately_ms, float(ms))
