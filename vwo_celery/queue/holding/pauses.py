"""Pauses: why nothing is claimed of a shard until an operator resumes it, by whom and since when.

Beside an event's way; the notes are fields of a shard's `meta`. A shard may be paused for two causes
at once: a worker's, since VWO refuses the queue, and an operator's. Each keeps its reason. If the process
dies between two shards, the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.pipelining import Call, run_all
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import LONGEST_ERROR
from vwo_celery.queue.words.numbers import number

#: Fields of meta at which the facts of a pause begin: of the first cause, and of another one.
_STEMS: Final = ("paused", "paused_also")
#: Longest name of whoever paused a queue, in characters.
LONGEST_NAME: Final = 100


class Pause(msgspec.Struct, frozen=True):
    """One cause for which a shard is paused.

    Attributes:
        why: The reason; what VWO answered, or what the operator gave.
        by: The cause, "operator" or "refusal"; "" if it is not known.
        who: The operator, "" if it is not known or was a worker.
        since_ms: Unix ms of the pause, 0 if it is not known.
    """

    why: str
    by: str
    who: str
    since_ms: int


def pauses_of(meta: Mapping[str, str]) -> tuple[Pause, ...]:
    """The causes for which the shard of this meta hash is paused; none if it is not."""
    if "paused" not in meta:
        return ()
    return tuple(
        Pause(
            why=meta[stem],
            by=meta.get(f"{stem}_by", ""),
            who=meta.get(f"{stem}_who", ""),
            since_ms=number(meta.get(f"{stem}_ms", "")),
        )
        for stem in _STEMS
        if stem in meta
    )


def pause_all(
    fleet: Fleet, shards: Sequence[Shard], why: str, who: str
) -> tuple[set[str], dict[str, Exception]]:
    """Pause shards for an operator.

    Returns:
        The names of the queues that no operator had paused before; and of those whose own keys did
        not let themselves be paused, each with the client's error.

    Raises:
        QueueUnavailable: Redis did not answer; some shards may be paused.
    """
    words = ("paused", why[:LONGEST_ERROR], "_by", "operator", "_who", who[:LONGEST_NAME])
    with unavailable("pause"):
        calls = [Call((shard.keys.meta,), words) for shard in shards]
        answers = list(run_all(fleet.client, script("stop"), calls))
    paused: set[str] = set()
    failed: dict[str, Exception] = {}
    for shard, answer in zip(shards, answers, strict=True):
        if isinstance(answer, Exception):
            failed.setdefault(shard.queue, answer)
        elif answer:
            paused.add(shard.queue)
    return paused, failed
