"""The doctor, asked now and then in a thread of its own: what is wrong, and what to do about it.

Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import Final

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.settings import Settings
from vwo_celery.top.looking.watching import Source

#: Time between two examinations, and how long what is known of the broker is not asked again: to ask it,
#: every worker answers a ping.
_EXAMINE_SECONDS: Final = 15.0
_BROKER_SECONDS: Final = 60.0
_WORST_FIRST: Final = ("problem", "warn", "ok")


class Verdict(msgspec.Struct, frozen=True):
    """What the doctor found.

    Attributes:
        findings: The results of all checks, the worst first.
        at: When, by `clocks.monotonic`.
        complete: Whether all checks have been made; the first examination is shown while it goes on.
    """

    findings: tuple[Finding, ...]
    at: float
    complete: bool = True

    @property
    def bad(self) -> tuple[Finding, ...]:
        """Those that are not well."""
        return tuple(each for each in self.findings if each.state != "ok")

    @property
    def age_seconds(self) -> float:
        """Time since the examination."""
        return max(0.0, monotonic() - self.at)


def _verdict(found: Iterable[Finding], *, complete: bool) -> Verdict:
    worst_first = sorted(found, key=lambda each: _WORST_FIRST.index(each.state))
    return Verdict(tuple(worst_first), monotonic(), complete)


class Checkup:
    """Examines every so often.

    Args:
        source: What to examine.
        tell: Called in the thread with each verdict, or an error of ours.
    """

    def __init__(self, source: Source, tell: Callable[[Verdict | Exception], None]) -> None:
        self._source = source
        self._tell = tell
        self._examined = False
        self._broker: tuple[float, BrokerFacts] | None = None
        self._ended = False
        self._hurried = Event()

    def start(self) -> None:
        """Begin."""
        Thread(target=self._run, name="top-checkup", daemon=True).start()

    def end(self) -> None:
        """Examine no more."""
        self._ended = True
        self._hurried.set()

    def hurry(self) -> None:
        """Examine now, or as soon as the present examination has ended."""
        self._hurried.set()

    def _run(self) -> None:
        while not self._ended:
            try:
                self._examine()
            except Exception as exc:  # a fault of ours must not look like a fleet without faults
                self._tell(exc)
                return
            self._hurried.wait(_EXAMINE_SECONDS)
            self._hurried.clear()

    def _examine(self) -> None:
        settings, open_fleet = self._source.settings, self._source.open_fleet
        found = []
        for finding in doctor.examine(settings, open_fleet, self._look_at_broker):
            found.append(finding)
            if not self._examined and finding.state != "ok":
                self._tell(_verdict(found, complete=False))
        self._examined = True
        self._tell(_verdict(found, complete=True))

    def _look_at_broker(self, settings: Settings) -> BrokerFacts:
        if self._broker is None or monotonic() - self._broker[0] >= _BROKER_SECONDS:
            self._broker = monotonic(), self._source.look_at_broker(settings)
        return self._broker[1]
