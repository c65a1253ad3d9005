"""The doctor's check of the workers' cards: are they of one release, and told the same?

Pure decisions on the cards: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vwo_celery.operating.doctor.finding import Finding, ok, warn
from vwo_celery.operating.looks.workers import Difference, WorkerView, differences
from vwo_celery.text.amounts import count

#: Most workers of one value that a finding names; the others are counted.
_MOST_NAMES = 5


def worker_cards_findings(workers: Sequence[WorkerView]) -> Iterator[Finding]:
    """Judge whether workers that listen differ in their release or in settings; names them.

    Args:
        workers: The answer of `view_workers`.
    """
    if not workers:
        return
    found = differences(workers)
    if not found:
        releases = ", ".join(sorted({each.version for each in workers}))
        yield ok("workers", f"all workers are of one release, {releases}, with the same settings")
    for each in found:
        if each.what == "version":
            yield warn(
                "VC411",
                f"workers are of different releases: {_values(each)}",
                "at the end of a deploy, restart those of the older release; vwo-celery workers shows "
                "since when each runs",
            )
        else:
            yield warn(
                "VC412",
                f"workers have different settings: {each.what} is {_values(each)}",
                f"give all workers of the fleet the same {each.what} (VWO_CELERY_{each.what.upper()}), "
                "and restart them",
            )


def _values(difference: Difference) -> str:
    return "; ".join(
        f"{value} at {_names(workers)}" for value, workers in difference.values.items()
    )


def _names(workers: Sequence[str]) -> str:
    shown = ", ".join(workers[:_MOST_NAMES])
    more = len(workers) - _MOST_NAMES
    return f"{shown} and {count(more, 'other')}" if more > 0 else shown
