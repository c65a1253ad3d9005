"""The doctor's findings for pages, looked for beside the requests: no page waits for a slow check.

A check may take seconds, such as one that asks a broker which is away. So a thread looks when somebody
watches and the last findings are old; a page shows the last ones, and how old they are. Nothing to lose.
"""

from __future__ import annotations

from threading import Condition, Thread
from typing import Final

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.console.shared.sources import Source
from vwo_celery.console.shared.visits import Visit
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.settings import Settings

#: Age from which findings are looked for again.
OLD_SECONDS: Final = 10.0
#: Longest wait for the very first findings.
FIRST_SECONDS: Final = 2.0


class Checked(msgspec.Struct, frozen=True):
    """What the doctor found.

    Attributes:
        findings: Its findings; of a look that goes on, those so far.
        age_seconds: Time since that look ended; None if none has ended yet.
    """

    findings: tuple[Finding, ...]
    age_seconds: float | None


class Checking:
    """The doctor's looks at one namespace, for all requests of this process.

    Args:
        source: The queues.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._changed = Condition()
        self._thread: Thread | None = None
        self._sofar: list[Finding] = []
        self._findings: tuple[Finding, ...] = ()
        self._ended_at: float | None = None

    def latest(self) -> Checked:
        """The latest findings; whoever is first waits a moment for them."""
        with self._changed:
            if self._is_old():
                self._begin()
            self._changed.wait_for(lambda: self._ended_at is not None, FIRST_SECONDS)
            if self._ended_at is None:
                return Checked(tuple(self._sofar), None)
            return Checked(self._findings, monotonic() - self._ended_at)

    def _is_old(self) -> bool:
        return self._ended_at is None or monotonic() - self._ended_at >= OLD_SECONDS

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._sofar = []
            self._thread = Thread(target=self._look, name="vwo-celery-doctor", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        try:
            for finding in doctor.examine(self._source.settings, self._source.fleet, self._broker):
                with self._changed:
                    self._sofar.append(finding)
        except Exception:
            log.exception("the doctor of the console failed")
        with self._changed:
            self._findings, self._ended_at = tuple(self._sofar), monotonic()
            self._changed.notify_all()

    def _broker(self, settings: Settings) -> BrokerFacts:
        from vwo_celery.celery.broker.facts import look_at_broker  # Celery takes long to import

        return look_at_broker(settings, self._source.app)


def checked(visit: Visit) -> Checked:
    """The latest findings for a visit; none where Redis was away when they were first asked for."""
    try:
        checking: Checking = visit.source.kept(
            "doctor", float("inf"), lambda: Checking(visit.source)
        )
    except QueueUnavailable:
        return Checked((), None)
    return checking.latest()
