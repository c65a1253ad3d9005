"""The table of all metrics: name, kind, labels, help, and where each number comes from.

Beside an event's way. One table for Prometheus, OpenTelemetry, the dashboard, the alerts and
docs/reference/metrics.md; tests hold each against it. Pure: nothing to lose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from vwo_celery.metrics.metric import OTHER, Metric, Point, Read, Reading, Spread, own_version
from vwo_celery.operating.looks.facts import (
    AGE_BOUNDS_SECONDS,
    ANSWERS,
    DROP_REASONS,
    POST_BOUNDS_SECONDS,
    SIZE_BOUNDS,
    UNACCEPTED_REASONS,
    VERDICTS,
    Facts,
    QueueFacts,
)
from vwo_celery.operating.looks.lanes import Lanes

#: What stops a queue; "unknown" where a worker before 0.2.0 did not tell.
STOPS: Final = ("operator", "refusal", "outage", "workers", "unknown")
SWEEPERS: Final = ("beat", "listener")

_GLANCE, _TALLY, _CARDS, _PULSE = "glance", "tally", "workers' cards", "signs of life"
_PROOF, _EXPORTER = "last proof", "exporter"


def _of_facts(read: Callable[[Facts], Iterable[Point]]) -> Read:
    """Points of what Redis told; none if it did not answer."""
    return lambda reading: () if reading.facts is None else read(reading.facts)


def _each(read: Callable[[QueueFacts], float | Spread | None]) -> Read:
    """One number of each queue; none where it is not known."""

    def points(facts: Facts) -> Iterator[Point]:
        for queue in facts.queues:
            if (value := read(queue)) is not None:
                yield Point((queue.name,), value)

    return _of_facts(points)


def _by_word(read: Callable[[QueueFacts], Mapping[str, float]]) -> Read:
    """Several numbers of each queue, by a word."""

    def points(facts: Facts) -> Iterator[Point]:
        for queue in facts.queues:
            name = queue.name
            for word, value in read(queue).items():
                yield Point((name, word), value)

    return _of_facts(points)


def _one(read: Callable[[Facts], float | None]) -> Read:
    """One number of all; none where it is not known."""

    def points(facts: Facts) -> Iterator[Point]:
        if (value := read(facts)) is not None:
            yield Point((), value)

    return _of_facts(points)


def _of_lanes(read: Callable[[Lanes], float | None]) -> Read:
    return _one(lambda facts: read(facts.lanes))


#: The closed lists, each word with the number at which its series begins.
_ANSWERS, _DROPS, _UNACCEPTED, _VERDICTS = (
    dict.fromkeys(words, 0.0) for words in (ANSWERS, DROP_REASONS, UNACCEPTED_REASONS, VERDICTS)
)


def _closed(numbers: Mapping[str, int], words: Mapping[str, float]) -> dict[str, float]:
    """Numbers by the words of a closed list that have any, those of any other word together."""
    found: dict[str, float] = {}
    for word, number in numbers.items():
        name = word if word in words else OTHER
        found[name] = found.get(name, 0.0) + number
    return found


def _from_zero(numbers: Mapping[str, int], words: Mapping[str, float]) -> dict[str, float]:
    """Numbers by all words of a closed list: an alert sees no rise of a series that just begins."""
    return {**words, **_closed(numbers, words)}


# -- of a queue


def _events(queue: QueueFacts) -> dict[str, float]:
    view = queue.view
    return {
        "open": view.open, "ready": view.ready, "in_flight": view.in_flight,
        "released": view.released, "dead": view.dead,
    }  # fmt: skip


def _batches(queue: QueueFacts) -> dict[str, float]:
    states = ("ready", "in_flight", "released", "dead")
    return {
        state: sum(getattr(shard, f"{state}_batches") for shard in queue.shards) for state in states
    }


def _limit(name: str) -> Callable[[QueueFacts], float | None]:
    """The sum of a limit over the shards; None for a queue that is not registered."""

    def read(queue: QueueFacts) -> float | None:
        limits = [shard.limits for shard in queue.shards if shard.limits is not None]
        return sum(getattr(each, name) for each in limits) if limits else None

    return read


def _stops(queue: QueueFacts) -> dict[str, float]:
    found, stop = dict.fromkeys(STOPS, 0.0), queue.view.stopped
    while stop is not None:
        found[stop.by if stop.by in found else STOPS[-1]] = 1.0
        stop = stop.also
    return found


def _accepted(queue: QueueFacts) -> float:
    # What a move took away is no longer in the ledger, and a counter must not fall.
    return queue.view.ledger.accepted + _moved(queue)


def _moved(queue: QueueFacts) -> int:
    return sum(shard.moved_out for shard in queue.shards)


def _unaccepted(queue: QueueFacts) -> dict[str, float]:
    told = {reason: each.events for reason, each in queue.tally.unaccepted.items()}
    return _from_zero(told, _UNACCEPTED)


# -- of the fleet


def _workers(facts: Facts) -> Iterator[Point]:
    kinds = Counter(
        (each.version, each.card.pool if each.card is not None else "")
        for each in facts.workers or ()
    )
    return (Point(kind, number) for kind, number in sorted(kinds.items()))


def _last_sweeps(facts: Facts) -> Iterator[Point]:
    signs = facts.signs_ms or {}
    return (Point((by,), signs[by] / 1000) for by in SWEEPERS if by in signs)


def _last_task(facts: Facts) -> float | None:
    at_ms = (facts.signs_ms or {}).get("task")
    return None if at_ms is None else at_ms / 1000


def _takes_writes(facts: Facts) -> float | None:
    return float(all(each.takes_writes for each in facts.servers)) if facts.servers else None


def _memory_limit(facts: Facts) -> float | None:
    """The limits together; None where a server has none, or tells nothing."""
    limits = [each.limit_bytes for each in facts.servers]
    return sum(limits) if limits and all(limits) else None


def _memory(facts: Facts) -> float | None:
    return sum(each.used_bytes for each in facts.servers) if facts.servers else None


# -- of the exporter


def _redis_up(reading: Reading) -> list[Point]:
    return [Point((), float(reading.facts is not None and reading.facts.is_whole))]


METRICS: Final = (
    # what is there now
    Metric("events", "gauge", ("queue", "state"),
           "Events that are not delivered, by where they are.", _GLANCE, _by_word(_events)),
    Metric("batches", "gauge", ("queue", "state"),
           "Sealed batches that are not delivered, by where they are.", _GLANCE,
           _by_word(_batches)),
    Metric("queue_bytes", "gauge", ("queue",),
           "Size of the undelivered events.", _GLANCE, _each(lambda q: q.view.bytes)),
    Metric("queue_limit_bytes", "gauge", ("queue",),
           "Most bytes that the queue takes.", _GLANCE, _each(_limit("capacity_bytes"))),
    Metric("queue_limit_events", "gauge", ("queue",),
           "Most events that the queue takes.", _GLANCE, _each(_limit("capacity_events"))),
    Metric("queue_used_ratio", "gauge", ("queue",),
           "Share of its capacity that the fullest shard has taken; 1 is full.", _GLANCE,
           _each(lambda q: q.view.fullness), "greatest"),
    Metric("oldest_event_age_seconds", "gauge", ("queue",),
           "Age of the oldest undelivered event; 0 if there is none.", _GLANCE,
           _each(lambda q: q.view.oldest_age_seconds or 0.0), "greatest"),
    Metric("late_seconds", "gauge", ("queue",),
           "Time since the oldest pending event should have left; 0 if none is late.", _GLANCE,
           _each(lambda q: q.view.late_seconds), "greatest"),
    Metric("interval_seconds", "gauge", ("queue",),
           "The request_time_interval within which events leave.", _GLANCE,
           _each(lambda q: q.view.interval_seconds), "greatest"),
    Metric("queue_paused", "gauge", ("queue",),
           "1 if nothing is sent until somebody resumes the queue.", _GLANCE,
           _each(lambda q: float(bool(q.view.paused))), "greatest"),
    Metric("circuit_open", "gauge", ("queue",),
           "1 if only one batch at a time is sent, as a probe.", _GLANCE,
           _each(lambda q: float(q.view.held_seconds is not None)), "greatest"),
    Metric("circuit_retry_seconds", "gauge", ("queue",),
           "Time until the next probe; 0 if it is due, or none is needed.", _GLANCE,
           _each(lambda q: q.view.held_seconds or 0.0), "greatest"),
    Metric("queue_stopped", "gauge", ("queue", "by"),
           "1 if nothing is sent, or only probes, for this cause.", _GLANCE,
           _by_word(_stops), "greatest"),
    Metric("queue_declining_workers", "gauge", ("queue",),
           "Listening workers whose own configuration keeps them from the queue.", "declines",
           _each(lambda q: q.declining), "greatest"),
    Metric("events_on_disk", "gauge", ("queue",),
           "Events that wait on hosts' disks, as far as was told.", _TALLY,
           _each(lambda q: q.tally.on_disk)),
    # what happened so far
    Metric("events_accepted_total", "counter", ("queue",),
           "Events accepted into the queue.", _GLANCE, _each(_accepted)),
    Metric("events_delivered_total", "counter", ("queue",),
           "Events that VWO accepted.", _GLANCE, _each(lambda q: q.view.ledger.delivered)),
    Metric("events_moved_total", "counter", ("queue",),
           "Events that an operator moved to another queue, where they count as accepted again.",
           _GLANCE, _each(_moved)),
    Metric("events_refused_total", "counter", ("queue",),
           "Events refused because the queue was full.", _GLANCE, _each(lambda q: q.view.refused)),
    Metric("events_dropped_total", "counter", ("queue", "reason"),
           "Events dropped after they were accepted.", _GLANCE,
           _by_word(lambda q: _from_zero(q.view.dropped, _DROPS))),
    Metric("events_unaccepted_total", "counter", ("queue", "reason"),
           "Events dropped before Redis accepted them, as far as their processes told.", _TALLY,
           _by_word(_unaccepted)),
    Metric("events_spooled_total", "counter", ("queue",),
           "Events that went to a host's disk, as far as was told.", _TALLY,
           _each(lambda q: q.tally.spooled.events)),
    Metric("events_drained_total", "counter", ("queue",),
           "Events that went from a disk to Redis.", _TALLY,
           _each(lambda q: q.tally.drained.events)),
    Metric("events_dead_lettered_total", "counter", ("queue", "verdict"),
           "Events that became dead letters, by what was the matter.", _TALLY,
           _by_word(lambda q: _from_zero(q.tally.dead_by, _VERDICTS))),
    Metric("events_redriven_total", "counter", ("queue",),
           "Events of dead letters that were put back.", _TALLY, _each(lambda q: q.tally.redriven)),
    Metric("answers_total", "counter", ("queue", "answer"),
           "Requests to VWO, by what came back.", _TALLY,
           _by_word(lambda q: _closed(q.tally.answers, _ANSWERS))),
    Metric("batches_split_total", "counter", ("queue",),
           "Batches that were split.", _TALLY, _each(lambda q: q.tally.split)),
    Metric("leases_lost_total", "counter", ("queue",),
           "Leases that ran out, since a worker went silent.", _TALLY,
           _each(lambda q: q.tally.lost_leases)),
    Metric("receiver_errors_total", "counter", ("queue",),
           "Receivers of signals and callbacks that raised.", _GLANCE,
           _each(lambda q: q.view.receiver_errors)),
    Metric("circuit_opened_total", "counter", ("queue",),
           "How often the circuit opened.", _TALLY, _each(lambda q: q.tally.opened)),
    Metric("repaired_total", "counter", ("queue",),
           "Stranded batches that a sweep made ready again.", _GLANCE,
           _each(lambda q: q.view.repaired)),
    # how long it took
    Metric("delivery_age_seconds", "histogram", ("queue",),
           "Age of the oldest event of a batch when VWO had accepted it.", _TALLY,
           _each(lambda q: Spread(q.tally.ages, q.tally.age_ms / 1000)), bounds=AGE_BOUNDS_SECONDS),
    Metric("request_duration_seconds", "histogram", ("queue",),
           "Time of one request to VWO.", _TALLY,
           _each(lambda q: Spread(q.tally.posts, q.tally.post_ms / 1000)),
           bounds=POST_BOUNDS_SECONDS),
    Metric("batch_events", "histogram", ("queue",),
           "Events of one request to VWO.", _TALLY,
           _each(lambda q: Spread(q.tally.sizes, q.tally.size_events)), bounds=SIZE_BOUNDS),
    # who works
    Metric("queues", "gauge", (), "Queues that are registered, or hold something.", _GLANCE,
           _one(lambda facts: len(facts.queues))),
    Metric("lanes_wanted", "gauge", (),
           "Lanes that hold a batch, or would find one now.", _GLANCE,
           _of_lanes(lambda lanes: lanes.lanes_wanted)),
    Metric("lanes_busy", "gauge", (), "Lanes that hold a batch.", _GLANCE,
           _of_lanes(lambda lanes: lanes.lanes_busy)),
    Metric("lanes", "gauge", (), "Lanes of the workers that listen.", _CARDS,
           _of_lanes(lambda lanes: lanes.lanes_total)),
    Metric("lanes_most", "gauge", (),
           "Lanes that may be busy at once, by max_parallel_sends.", _GLANCE,
           _of_lanes(lambda lanes: lanes.lanes_most)),
    Metric("workers", "gauge", ("version", "pool"), "Workers that listen.", _CARDS,
           _of_facts(_workers)),
    Metric("worker_settings_differing", "gauge", (),
           "Settings in which the workers that listen differ.", _CARDS,
           _one(lambda facts: facts.differing)),
    Metric("last_sweep_timestamp_seconds", "gauge", ("by",),
           "Unix time of the last sweep, by who ran it.", _PULSE,
           _of_facts(_last_sweeps)),
    Metric("last_task_timestamp_seconds", "gauge", (),
           "Unix time at which a worker last ran a task of ours.", _PULSE, _one(_last_task)),
    Metric("waiting_wakeups", "gauge", (),
           "Wake-ups that no worker has picked up.", "the list of wake-ups",
           _one(lambda facts: facts.wakeups)),
    # whether the numbers are right, and Redis is well
    Metric("ledger_imbalance_events", "gauge", ("queue",),
           "Events by which the ledger was out of balance when a sweep last proved it.",
           _PROOF, _each(lambda q: q.imbalance)),
    Metric("ledger_checked_timestamp_seconds", "gauge", (),
           "Unix time at which a sweep last proved the ledgers.", _PROOF,
           _one(lambda facts: facts.proven_ms / 1000 if facts.proven_ms else None)),
    Metric("redis_writable", "gauge", (),
           "0 if Redis tells that it refuses writes.", "INFO", _one(_takes_writes)),
    Metric("redis_memory_bytes", "gauge", (), "Memory that Redis uses.", "INFO", _one(_memory)),
    Metric("redis_memory_limit_bytes", "gauge", (), "Its maxmemory, if it has one.", "INFO",
           _one(_memory_limit)),
    Metric("redis_up", "gauge", (), "1 if every part of Redis answers.", _EXPORTER, _redis_up),
    Metric("scrape_duration_seconds", "gauge", (), "Time that the look at Redis took.", _EXPORTER,
           lambda reading: [Point((), reading.seconds)]),
    Metric("build_info", "gauge", ("version",), "1; the release that tells all this.", _EXPORTER,
           lambda _: [Point((own_version(),), 1.0)]),
)  # fmt: skip
