"""The plan of a move: the queue and the destination that its events go to, and what speaks against it.

Beside an event's way; `operations/moving` does it. Looks only: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.errors import MoveRefused
from vwo_celery.operating.batches import finding
from vwo_celery.operating.batches.contradictions import contradiction
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.looks.inspector import QueueView, shards_of, view_queues
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks import places
from vwo_celery.queue.looks.snapshots import BatchView
from vwo_celery.queue.parts import left_out
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.registration import Registration
from vwo_celery.queue.work import moves
from vwo_celery.sending.hosts import host_allowed
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count
from vwo_celery.text.masking import mask

#: States that can be moved, in the order in which they are.
STATES: Final = ("open", "ready", "released", "dead")
#: The filter that picks all.
EVERYTHING: Final = Filter()
#: Batches in each state, and open events, that the plan looks at before anything changes.
_SAMPLED_BATCHES: Final = 1
_SAMPLED_EVENTS: Final = 100


class Changes(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a destination that differ in the new one; None for those that do not."""

    sdk_key: str | None = None
    account_id: str | None = None
    base_url: str | None = None
    region: str | None = None


class Plan(msgspec.Struct, frozen=True):
    """A move as it would be done now.

    Attributes:
        source: Registration of the queue that the events are in.
        target: Registration of the queue that they go to.
        is_new: Whether that queue is registered by the move.
        states: States of the events that are moved.
        filter: The batches that are moved; open events are none.
        replaced_key: The old SDK key, if the new one is said to be of the same environment, else "".
        counts: Number of events now, by state, those in flight included, which stay.
        notes: What the operator should know before agreeing.
    """

    source: Registration
    target: Registration
    is_new: bool
    states: tuple[str, ...]
    filter: Filter
    replaced_key: str
    counts: dict[str, int]
    notes: tuple[str, ...]

    @property
    def events(self) -> int:
        """Number of events to be moved, as of now."""
        return sum(self.counts[state] for state in self.states)


def changed(destination: Destination, changes: Changes) -> Destination:
    """The destination with some parts changed; a new queue is named after it.

    Raises:
        DestinationError: A part cannot be used; the message shows no key.
    """
    parts = msgspec.structs.asdict(destination)
    parts.pop("name", None)  # of a destination that was stored under another name
    parts |= msgspec.to_builtins(changes)
    return Destination(**parts)


def plan_to_queue(
    fleet: Fleet,
    settings: Settings,
    source: Registration,
    target: Registration,
    *,
    states: Sequence[str] = STATES,
    filter: Filter = EVERYTHING,
    same_environment: bool = False,
) -> Plan:
    """Plan a move to a registered queue.

    Raises:
        MoveRefused: The events must not go there; the message says why.
        QueueUnavailable: Redis did not answer.
    """
    return _plan(fleet, settings, source, target, False, states, filter, same_environment)


def plan_to_changed(
    fleet: Fleet,
    settings: Settings,
    registered: Mapping[str, Registration],
    source: Registration,
    changes: Changes,
    *,
    states: Sequence[str] = STATES,
    filter: Filter = EVERYTHING,
    same_environment: bool = False,
) -> Plan:
    """Plan a move to the same destination but for some parts; its queue may be registered or not.

    Raises:
        DestinationError: A part cannot be used.
        MoveRefused: The events must not go there; the message says why.
        QueueUnavailable: Redis did not answer.
    """
    destination = changed(source.destination, changes)
    found = registered.get(destination.queue)
    target = found or msgspec.structs.replace(source, destination=destination)
    return _plan(fleet, settings, source, target, found is None, states, filter, same_environment)


def _plan(
    fleet: Fleet,
    settings: Settings,
    source: Registration,
    target: Registration,
    is_new: bool,
    states: Sequence[str],
    filter: Filter,
    same_environment: bool,
) -> Plan:
    before, after = source.destination, target.destination
    _refuse_impossible(settings, before, after)
    registered = {before.queue: source} | ({} if is_new else {after.queue: target})
    views = {view.queue: view for view in view_queues(fleet, registered)}
    view = views.get(before.queue)
    if view is None:
        raise left_out()
    counts, unseen = _counts(fleet, source, view, filter, states)
    plan = Plan(
        source=source,
        target=target,
        is_new=is_new,
        states=tuple(state for state in STATES if state in states),
        filter=filter,
        replaced_key=before.sdk_key if same_environment else "",
        counts=counts,
        notes=(),
    )
    _refuse_contradiction(fleet, plan)
    notes = [*unseen, *_notes(plan, view, views.get(after.queue))]
    return msgspec.structs.replace(plan, notes=tuple(notes))


def _counts(
    fleet: Fleet, source: Registration, view: QueueView, filter: Filter, states: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """Number of events by state, as far as the filter picks them; and what could not be looked at."""
    counts = {
        "open": view.open, "ready": view.ready, "released": view.released, "dead": view.dead,
        "in_flight": view.in_flight,
    }  # fmt: skip
    if not filter:
        return counts, []
    registered, scan = {source.destination.queue: source}, finding.Scan()
    counts |= dict.fromkeys(STATES, 0)
    if "dead" in states:
        for batch in finding.find_dead(fleet, registered, filter, scan):
            counts["dead"] += batch.events
    if {"ready", "released"} & set(states):
        for waiting in finding.find_waiting(fleet, registered, filter, scan):
            if waiting.state in states:
                counts[waiting.state] += waiting.events
    if scan.complete:
        return counts, []
    return counts, [
        f"{count(scan.not_looked_at, 'event')} not looked at yet; the move looks at all"
    ]


def _refuse_impossible(settings: Settings, before: Destination, after: Destination) -> None:
    if before.queue == after.queue:
        raise MoveRefused(f"{before.queue} is the queue that the events are in; nothing was moved")
    if before.generation != after.generation:
        raise MoveRefused(
            f"{after.queue} takes events of generation {after.generation}, and those of "
            f"{before.queue} are of generation {before.generation}, of another shape; nothing was "
            "moved"
        )
    if after.host != before.host and not host_allowed(after, settings.allowed_hosts):
        raise MoveRefused(
            f"no worker with these settings may send to {after.host!r}; nothing was moved. If it is "
            "meant, add it to the workers' setting allowed_hosts (VWO_CELERY_ALLOWED_HOSTS), and "
            "give this command the same setting"
        )


def _refuse_contradiction(fleet: Fleet, plan: Plan) -> None:
    """Look at the oldest events before anything changes; each batch is looked at in its turn."""
    queue = plan.source.destination.queue
    for shard in shards_of(fleet, {queue: plan.source})[queue]:
        opened = places.oldest_open(shard, _SAMPLED_EVENTS) if "open" in plan.states else []
        samples = [("the open list", opened)]
        for batch in _sample(shard, plan.states):
            events = [
                event
                for page in moves.event_pages(shard, batch.batch, batch.events)
                for event in page
            ]
            samples.append((f"batch {batch.batch}", events))
        for where, events in samples:
            if found := contradiction_of(plan, events):
                raise MoveRefused(f"{where}: {found}; nothing was moved. {_remedy(plan)}")


def contradiction_of(plan: Plan, events: Sequence[bytes]) -> str:
    """What these events say that the plan's destination does not; "" if they agree with it."""
    after = plan.target.destination
    found = contradiction(events, after, replaced_key=plan.replaced_key)
    if not found:
        return ""
    return (
        f"{found}, and {after.queue} is account {after.account_id} with the key "
        f"{mask(after.sdk_key)}; bytes of events are never changed"
    )


def _remedy(plan: Plan) -> str:
    if plan.source.destination.sdk_key == plan.target.destination.sdk_key or plan.replaced_key:
        return "Choose the destination that the events name"
    return (
        "If the new key replaces the old one in the same environment, add --same-environment; else "
        "VWO would count them in the wrong one"
    )


def picks(plan: Plan, batch: moves.Sealed, now_ms: int) -> bool:
    """Whether the plan's filter picks a batch; words on its events are not asked here."""
    view = BatchView(
        batch.batch, batch.state, batch.attempt, 0, batch.events, batch.bytes, batch.first_ms,
        batch.first_ms, batch.at_ms, batch.error,
    )  # fmt: skip
    return plan.filter.picks(plan.source.destination.queue, view, now_ms)


def _sample(shard: Shard, states: Sequence[str]) -> list[moves.Sealed]:
    found = []
    if {"open", "ready", "released"} & set(states):
        names = places.page_of(shard, "ready", most=_SAMPLED_BATCHES)
        found += moves.look_up(shard, names, "ready")
    if "dead" in states:
        names = places.page_of(shard, "dead", most=_SAMPLED_BATCHES)
        found += moves.look_up(shard, names, "dead")
    return found


def _notes(plan: Plan, source: QueueView, target: QueueView | None) -> list[str]:
    before, after = plan.source.destination, plan.target.destination
    notes = []
    if not source.paused and source.undelivered:
        notes.append(
            f"{source.queue} is not paused: until they are moved, workers go on sending its events to "
            f"the old destination; vwo-celery pause --queue {source.queue} stops that"
        )
    if source.in_flight:
        notes.append(
            f"{count(source.in_flight, 'event is', 'events are')} in flight and stay; the same command "
            "again moves what comes back"
        )
    if before.sdk_words != after.sdk_words:
        notes.append(f"the requests will name {after.sdk_words} and not {before.sdk_words}")
    if before.statistics != after.statistics:
        notes.append("the requests will carry the usage statistics of the new queue")
    if target is not None:
        notes += _notes_on_target(target)
    return notes


def _notes_on_target(target: QueueView) -> list[str]:
    notes = []
    if target.paused:
        notes.append(f"{target.queue} is paused: {target.paused}; the events wait there")
    if target.declined_by_all:
        notes.append(
            f"no worker that listens may send {target.queue}: {target.declines[0].why}; the events "
            "wait there"
        )
    return notes
