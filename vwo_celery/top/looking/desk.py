"""What all screens share: the last scene, the last verdict, and threads that ask without a wait.

Nothing here draws; the app hands over a way back into its own thread. Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Any, TypeVar

from vwo_celery.clocks import monotonic
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.operating.operations import Amount
from vwo_celery.queue.fleet import Fleet
from vwo_celery.text.amounts import span
from vwo_celery.text.lines import one_line
from vwo_celery.top.looking.checkup import Checkup, Verdict
from vwo_celery.top.looking.plans import Means, Plan
from vwo_celery.top.looking.scenes import Scene, Trouble
from vwo_celery.top.looking.watching import Source, Watch, trouble_of

Found = TypeVar("Found")
#: Time without an answer of Redis' from which it is told.
SILENT_SECONDS = 1.0
#: The fastest and the slowest refresh, in seconds.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.5, 10.0
#: Shortest time between two notes of a change's progress.
_TELL_SECONDS = 0.1


class Desk:
    """What the screens know and may do.

    Args:
        source: Where everything comes from.
        seconds: Time between two looks.
        operate: Whether changes are allowed.
        come_back: Runs a function in the app's own thread; may be called in any.

    Attributes:
        scene: The last look that Redis answered; None before the first.
        verdict: The doctor's last findings; None before the first.
        trouble: Why Redis could not be asked last; None while it answers.
        did: What was done last here, or why it was not, in words; "" for nothing.
    """

    def __init__(
        self,
        source: Source,
        *,
        seconds: float,
        operate: bool,
        come_back: Callable[[Callable[[], None]], Any],
    ) -> None:
        self.source = source
        self.operate = operate
        self.scene: Scene | None = None
        self.verdict: Verdict | None = None
        self.trouble: Trouble | None = None
        self.did = ""
        self.changed: Callable[[], None] = lambda: None
        self._come_back = come_back
        self.watch = Watch(source, seconds, lambda told: come_back(lambda: self._saw(told)))
        self.checkup = Checkup(source, lambda told: come_back(lambda: self._examined(told)))

    def start(self) -> None:
        """Begin to look."""
        self.watch.start()
        self.checkup.start()

    def end(self) -> None:
        """Look no more."""
        self.watch.end()
        self.checkup.end()

    def _saw(self, told: Scene | Trouble | Exception) -> None:
        if isinstance(told, Exception):
            raise told
        if isinstance(told, Scene):
            worse = self.scene is None or self.trouble is not None or _is_news(self.scene, told)
            self.scene, self.trouble = told, None
            if worse:
                self.checkup.hurry()
        else:
            self.trouble = told
        self.changed()

    def _examined(self, told: Verdict | Exception) -> None:
        if isinstance(told, Exception):
            raise told
        self.verdict = told
        self.changed()

    @property
    def away(self) -> str:
        """That Redis does not answer, since when and why; "" while it does."""
        silent = self.watch.silent_seconds
        if self.trouble is not None:
            what, remedy = self.trouble
            spelled = f"{remedy[:1].upper()}{remedy[1:]}"
            return f"Redis has not answered for {span(int(silent))}: {what}. {spelled}"
        if silent >= SILENT_SECONDS:
            return f"Redis has not answered for {span(int(silent))}; what is shown is older"
        return ""

    def ask(
        self,
        load: Callable[[Fleet], Found],
        show: Callable[[Found], None],
        fail: Callable[[str], None],
    ) -> None:
        """Ask Redis in a thread of its own.

        Args:
            load: What is asked; it runs in the thread.
            show: Given the answer, in the app's thread.
            fail: Given why there is none, in words, in the app's thread.
        """

        def run() -> None:
            try:
                found = load(self.source.open_fleet())
            except VwoCeleryError as exc:
                why = self._why(exc)
                self._come_back(lambda: fail(why))
            except Exception as exc:  # a fault of ours, told by the app's end
                fault = exc
                self._come_back(lambda: _raise(fault))
            else:
                self._come_back(lambda: show(found))

        Thread(target=run, name="top-ask", daemon=True).start()

    def _why(self, exc: VwoCeleryError) -> str:
        if not isinstance(exc, QueueUnavailable):
            return one_line(str(exc))
        trouble = trouble_of(self.source, exc)
        return one_line(f"{trouble.what}{'. ' if trouble.remedy else ''}{trouble.remedy}")

    def act(
        self,
        plan: Plan,
        reason: str,
        brake: Event,
        watch: Callable[[Amount], None],
        end: Callable[[], None],
    ) -> None:
        """Carry a plan out in a thread of its own, and look anew.

        Args:
            plan: The plan that somebody agreed to.
            reason: Their reason.
            brake: What stops it.
            watch: Given what has been changed so far, in the app's thread.
            end: Called when it has ended, in the app's thread; `did` says how.
        """

        def load(fleet: Fleet) -> str:
            means = Means(fleet, self.source.actor, reason, brake, told)
            return plan.act(means)

        told_at = -_TELL_SECONDS

        def told(amount: Amount) -> None:
            nonlocal told_at
            if monotonic() - told_at >= _TELL_SECONDS:
                told_at = monotonic()
                self._come_back(lambda: watch(amount))

        def say(words: str) -> None:
            self.did = one_line(words)
            end()
            self.watch.hurry()
            self.checkup.hurry()
            self.changed()

        self.ask(load, say, lambda why: say(f"{plan.title} failed: {why}"))


def _raise(fault: Exception) -> None:
    raise fault


def _is_news(before: Scene, after: Scene) -> bool:
    """Whether other queues need attention than before: worth asking the doctor at once."""
    return before.look.wrong != after.look.wrong or _stopped(before) != _stopped(after)


def _stopped(scene: Scene) -> set[str]:
    return {view.queue for view in scene.look.views if view.stopped or view.dead}
