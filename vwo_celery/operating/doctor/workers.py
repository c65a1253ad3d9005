"""The doctor's checks of who works: does a worker listen, and does beat have the queues swept?

Pure decisions on the signs of life in Redis: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.queue.looks.listening import Listening, spell
from vwo_celery.queue.work.sweep_messages import beat_seconds
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count, span
from vwo_celery.text.moments import since
from vwo_celery.text.wording import how_to_start

#: Intervals of beat, and of the listeners' sweeps, after which they count as silent; and the shortest
#: silence of listeners that does.
_BEAT_INTERVALS = 3
_MISSED_SWEEPS = 5
_SHORTEST_SILENCE_SECONDS = 10.0
#: Wait of a task message from which the lanes count as busy.
_LONGEST_WAIT_SECONDS = 5.0


def start_worker() -> str:
    """What to do where no worker listens; without -Q, the ready app consumes the queue of its tasks."""
    return f"{how_to_start('worker')}; in your own app: vwo_celery.setup(app)"


def listener_finding(
    listeners: Sequence[Listening], silent_seconds: float | None = None, held: int = 0
) -> Finding:
    """Judge whether any worker listens for wake-ups; where none does, the consequences are told, too.

    Args:
        listeners: Those that do, the one heard last first.
        silent_seconds: Time since the last one did; None for never, or if it is not known.
        held: Number of events that wait.
    """
    if listeners:
        names = count(len(listeners), "worker listens", "workers listen")
        return ok("listener", f"{names} for wake-ups: {spell(listeners)}")
    when = "" if silent_seconds is None else f" {since(silent_seconds)}"
    waiting = f"; {count(held, 'event waits', 'events wait')}" if held else ""
    what = f"no worker listens{when}: nothing is sent or swept, whether or not beat runs{waiting}"
    return problem("VC401", what, start_worker())


def lanes_finding(wait_seconds: float) -> Finding:
    """Judge how long task messages wait until a lane is free.

    Args:
        wait_seconds: The answer of `routes.wait_seconds`.
    """
    if wait_seconds <= _LONGEST_WAIT_SECONDS:
        return ok("lanes", f"task messages wait {span(wait_seconds)} for a lane")
    what = (
        f"every lane is busy: a task message waits {span(wait_seconds)} or longer in the broker "
        "until a task starts with it"
    )
    remedy = (
        "add workers, or raise their --concurrency; if other tasks keep the lanes busy, or ours keep "
        "others waiting, give ours a Celery queue and workers of their own: celery_queue "
        "(VWO_CELERY_CELERY_QUEUE), and celery … worker -Q with its name"
    )
    return warn("VC404", what, remedy)


def beat_finding(sweeps_ms: Mapping[str, int], now_ms: int, settings: Settings) -> Finding:
    """Judge whether beat's sweeps are run, or listeners sweep without it."""
    silence = max(_SHORTEST_SILENCE_SECONDS, _MISSED_SWEEPS * settings.sweep_interval_seconds)
    ages = {by: max(0, now_ms - at) / 1000 for by, at in sweeps_ms.items()}
    beat, listener = ages.get("beat"), ages.get("listener")
    if beat is not None and beat <= _BEAT_INTERVALS * beat_seconds(settings):
        return ok("beat", f"beat had the queues swept {span(beat)} ago")
    seen = "beat has never been seen" if beat is None else f"beat was last seen {span(beat)} ago"
    remedy = f"{how_to_start('beat')}; if one runs, see why no worker runs its tasks"
    if listener is not None and listener <= silence:
        what = f"{seen}; the workers' listeners sweep without it, last {span(listener)} ago"
        return warn("VC403", what, remedy)
    what = f"{seen}, and nobody sweeps: a batch that is not full does not leave"
    return problem("VC402", what, remedy)
