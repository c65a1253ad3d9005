"""Looks at the fleet again and again, in a thread of its own, also while Redis is away.

Changes nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import Event, Thread
from typing import NamedTuple

from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.doctor import BrokerFacts
from vwo_celery.operating.doctor.connection import reason_of
from vwo_celery.operating.looks.looking import Look, look
from vwo_celery.operating.past.audit import Actor
from vwo_celery.operating.past.history import QueueHistory, view_history, view_sum
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings
from vwo_celery.text.masking import mask_url
from vwo_celery.top.looking.rates import Rates
from vwo_celery.top.looking.scenes import Scene, Trouble

_HISTORY_SECONDS = 3_600.0
_MINUTE_MS = 60_000


class Source(NamedTuple):
    """Where everything comes from, and who asks.

    Attributes:
        settings: The command's.
        open_fleet: Opens the queues; the parts of a Redis Cluster that are away are left alone.
        tell_away: Which parts those are, in words.
        look_at_broker: Collects the facts about Celery's broker; must not raise.
        actor: Who changes something here, for the audit.
    """

    settings: Settings
    open_fleet: Callable[[], Fleet]
    tell_away: Callable[[], tuple[str, ...]]
    look_at_broker: Callable[[Settings], BrokerFacts]
    actor: Actor

    @property
    def place(self) -> str:
        """The Redis and the namespace, in words."""
        return f"{mask_url(self.settings.redis_url)} · {self.settings.namespace}"


def trouble_of(source: Source, exc: QueueUnavailable) -> Trouble:
    """Why a look failed, and what to do."""
    reason = reason_of(exc, source.open_fleet)
    return Trouble(reason.what.rstrip("."), reason.remedy)


class Watch:
    """Looks every so many seconds, and tells what it saw.

    Args:
        source: Where to look.
        seconds: Time between two looks.
        tell: Called in the thread with each scene, trouble, or error of ours.

    Attributes:
        seconds: As given; may be changed meanwhile.
        frozen: Whether no look is taken.
        focus: The queue whose history is wanted, "" for none.
    """

    def __init__(
        self, source: Source, seconds: float, tell: Callable[[Scene | Trouble | Exception], None]
    ) -> None:
        self.seconds = seconds
        self.frozen = False
        self.focus = ""
        self._source = source
        self._tell = tell
        self._rates = Rates()
        self._history: tuple[tuple[int, str], QueueHistory, QueueHistory | None] | None = None
        self._unanswered_since: float | None = None
        self._ended = False
        self._hurried = Event()

    def start(self) -> None:
        """Begin; a thread that waits for Redis holds up no end of the process."""
        Thread(target=self._run, name="top-watch", daemon=True).start()

    def end(self) -> None:
        """Take no further look."""
        self._ended = True
        self._hurried.set()

    def hurry(self) -> None:
        """Look now."""
        self._hurried.set()

    @property
    def silent_seconds(self) -> float:
        """Time for which Redis has left a look without an answer; 0 if it has answered the last one."""
        since = self._unanswered_since
        return 0.0 if since is None else monotonic() - since

    def _run(self) -> None:
        while not self._ended:
            if not self.frozen:
                self._turn()
            self._hurried.wait(self.seconds)
            self._hurried.clear()

    def _turn(self) -> None:
        if self._unanswered_since is None:
            self._unanswered_since = monotonic()
        try:
            scene = self._scene()
        except QueueUnavailable as exc:
            self._tell(trouble_of(self._source, exc))
        except Exception as exc:  # a fault of ours must not look like a fleet that stands still
            self._tell(exc)
        else:
            self._unanswered_since = None
            self._tell(scene)

    def _scene(self) -> Scene:
        fleet = self._source.open_fleet()
        seen = look(fleet, self._source.settings, ())
        speeds = self._rates.note(seen.now_ms, {view.queue: view for view in seen.views})
        history, focus = self._histories(fleet, seen)
        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        hidden = (*self._source.tell_away(), *(f"{e}: {e.remedy}" for e in seen.wrong_types))
        return Scene(seen, speeds, history, focus, clock, hidden)

    def _histories(self, fleet: Fleet, seen: Look) -> tuple[QueueHistory, QueueHistory | None]:
        """The history of all queues, and of the one in focus; read once a minute."""
        when = seen.now_ms // _MINUTE_MS, self.focus
        if self._history is None or self._history[0] != when:
            registered = fleet.registrations().readable
            every = view_sum(fleet, registered, span_seconds=_HISTORY_SECONDS)
            chosen = {self.focus: registered[self.focus]} if self.focus in registered else {}
            found = view_history(fleet, chosen, span_seconds=_HISTORY_SECONDS) if chosen else []
            self._history = when, every, found[0] if found else None
        return self._history[1:]
