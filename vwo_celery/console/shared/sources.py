"""The queues that a console shows, and what it has seen of them a moment ago.

Whoever watches, one look a second serves them all: `Source.kept` asks once, and the others that come
meanwhile get the same. If the process dies here, only such copies are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from vwo_celery.clocks import monotonic
from vwo_celery.connections import open_client, unavailable
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts, Finding, Queues
from vwo_celery.operating.looks.looking import Look, look
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.parts import Part
from vwo_celery.settings import Settings
from vwo_celery.text.masking import mask_url

#: Longest wait for one answer of Redis; an operator's look at many queues is one large answer.
REDIS_TIMEOUT_SECONDS: Final = 5.0
#: For so long a look serves all who ask.
LOOK_SECONDS: Final = 1.0
#: For so long what the doctor found serves all who ask.
FINDINGS_SECONDS: Final = 5.0
#: Most questions of which answers are kept.
_MOST_KEPT: Final = 512

Answer = TypeVar("Answer")


class Seen(NamedTuple):
    """One look, and the parts of a Redis Cluster that were away."""

    look: Look
    away: tuple[Part, ...]


class _Kept(msgspec.Struct):
    """One thing that was asked for, and when."""

    lock: Any
    asked_at: float = float("-inf")
    answer: Any = None
    error: QueueUnavailable | None = None


class Source:
    """The queues of one namespace, for all requests of this process.

    Args:
        settings: A worker's, which lead to the queues.
        app: Your Celery app, or its name as `celery -A` takes it, by which jobs reach the workers; ""
            for the ready one.
    """

    def __init__(self, settings: Settings, app: Any = "") -> None:
        self.settings = settings
        self._app = app
        self._lock = Lock()
        self._client: Any = None
        self._kept: dict[str, _Kept] = {}

    def fleet(self) -> Fleet:
        """The queues; connects when first used. Parts of a Cluster that are away are left alone.

        Raises:
            QueueUnavailable: The URL leads nowhere, or no part of a Cluster answers.
        """
        return self.opened()[0]

    def opened(self) -> tuple[Fleet, tuple[Part, ...]]:
        """The queues, and the parts of a Cluster that are away.

        Raises:
            QueueUnavailable: The URL leads nowhere, or no part of a Cluster answers.
        """
        with self._lock:
            if self._client is None:
                self._client = self._open()
        fleet = Fleet(self._client, self.settings.namespace)
        return fleet, tuple(fleet.leave_parts_away())

    def _open(self) -> Any:
        try:
            with unavailable("opening a connection"):
                return open_client(self.settings.redis_url, timeout_seconds=REDIS_TIMEOUT_SECONDS)
        except ValueError as exc:  # a URL that the Redis client cannot read
            raise QueueUnavailable(f"opening a connection: {exc}") from exc

    def celery_app(self) -> Any:
        """The Celery app by which jobs reach the workers.

        Raises:
            NoApp: There is none of that name.
        """
        from vwo_celery.celery.worker import background  # Celery takes half a second to import

        if isinstance(self._app, str):
            self._app = background.app_of(self.settings, self._app)
        return self._app

    def seen(self) -> Seen:
        """What all requests of one second share.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return self.kept("look", LOOK_SECONDS, self._see)

    def _see(self) -> Seen:
        fleet, away = self.opened()
        return Seen(look(fleet, self.settings, ()), away)

    def findings(self) -> list[Finding]:
        """What the doctor finds, without asking Celery's broker; kept for FINDINGS_SECONDS.

        It judges the queues by the look that all share. A Redis that is away is a finding, too.
        """
        return self.kept("findings", FINDINGS_SECONDS, self._examine)

    def _examine(self) -> list[Finding]:
        return list(doctor.examine(self.settings, self.fleet, _no_broker, look=self._queues))

    def _queues(self, fleet: Fleet) -> Queues:
        views = self.seen().look.views
        return Queues(
            fleet.registrations(),
            [view for view in views if not view.stray],
            [view for view in views if view.stray],
        )

    def kept(self, name: str, seconds: float, ask: Callable[[], Answer]) -> Answer:
        """What *ask* answers, or what it answered less than *seconds* ago.

        Only one request asks at a time; the others wait for its answer. An error is kept as well: a
        Redis that is away is not asked by each request.

        Args:
            name: What is asked for; the same question has the same name.
            seconds: How long an answer serves.
            ask: Asks for it.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        with self._lock:
            if name not in self._kept and len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            kept = self._kept.setdefault(name, _Kept(Lock()))
        with kept.lock:
            if monotonic() - kept.asked_at >= seconds:
                try:
                    kept.answer, kept.error = ask(), None
                except QueueUnavailable as exc:
                    kept.error = exc
                kept.asked_at = monotonic()
            if kept.error is not None:
                raise kept.error.with_traceback(None)  # else it grows with each who asks
            answer: Answer = kept.answer
            return answer


def _no_broker(settings: Settings) -> BrokerFacts:
    """To ask all workers takes seconds, and the console is asked often."""
    url = mask_url(settings.broker_url or settings.redis_url)
    return BrokerFacts(url=url, unchecked="vwo-celery doctor asks it, the console does not")
