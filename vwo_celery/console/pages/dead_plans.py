"""What an action on dead letters would do: redrive, purge, export, and the stop of such work.

Each plan is made of looks, and changes nothing: nothing to lose.
"""

from __future__ import annotations

from vwo_celery.console.actions.filing import batches_of, why_not
from vwo_celery.console.pages.plan import Field, Plan
from vwo_celery.console.shared.dead import Found, find
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.visits import Visit
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.documents.jobs import job_document
from vwo_celery.operating.operations import Amount, count_dead
from vwo_celery.operating.operations.jobs import list_jobs
from vwo_celery.text.amounts import count


def _bulk(
    visit: Visit, verb: str, told: tuple[str, str], what: str, *, for_good: bool = False
) -> Plan:
    now_ms = visit.fleet.now_ms()
    found = find(visit, visit.field("filter"))
    counted = count_dead(found.batches, now_ms)
    amount = counted.amount
    sums = f"{count(amount.events, 'event')} in {count(amount.batches, 'batch', 'batches')}"
    doubts = _left_out(found)
    if found.search.not_looked_at:
        doubts.append(
            f"{count(found.search.not_looked_at, 'event')} could not be looked at: narrow the filter."
        )
    chosen, will = _chosen(found, amount), told[amount.events != 1]
    return Plan(
        f"{verb} {sums}?",
        (
            f"{_all(amount)} of {count(len(counted.queues), 'queue')} {chosen} now: {will} {what}",
            "A worker does it, batch by batch; you see how far it is, and can stop it. What dies after "
            "this moment is left alone.",
        ),
        f"{verb} {count(amount.events, 'event')}",
        (
            ("filter", visit.field("filter")), ("until_ms", str(counted.until_ms)),
            ("batches", str(amount.batches)),
        ),
        (
            Field("rate", "Most events a second", "as fast as Redis allows", number=True),
            Field("most", "Most batches", "all", number=True),
        ),
        tuple(doubts), "dead", bool(amount.batches), for_good,
    )  # fmt: skip


def redrive(visit: Visit) -> Plan:
    """What would be sent again."""
    return _bulk(
        visit, "Redrive", ("it goes", "they go"),
        "back to be sent, unchanged. What VWO refuses again dies again.",
    )  # fmt: skip


def purge(visit: Visit) -> Plan:
    """What would be dropped for good."""
    return _bulk(
        visit, "Purge", ("it is", "they are"),
        "dropped for good, and counted as dropped (purged). Only a file that was exported before "
        "brings back what was dropped.",
        for_good=True,
    )  # fmt: skip


def _events(visit: Visit, verb: str, what: str, *, for_good: bool = False) -> Plan:
    batch, places = visit.field("batch"), visit.every_field("places")
    each = next(find(visit, str(Filter(batches=(batch,)))).batches, None)
    if each is None:
        raise Refusal(404, f"no dead letter has the id {batch}")
    if not places:
        raise Refusal(400, "no event is chosen", "choose some at the dead letter")
    number = count(len(places), "event")
    return Plan(
        f"{verb} {number}?",
        (f"{number} of the {each.events:,} in batch {batch} {what}", "The others stay dead."),
        f"{verb} {number}",
        (("batch", batch), *(("places", place) for place in places)),
        back=f"dead/{batch}", for_good=for_good,
    )  # fmt: skip


def redrive_events(visit: Visit) -> Plan:
    """Which events of a dead letter would be sent again."""
    return _events(visit, "Redrive", "go back to be sent, as a batch of their own.")


def purge_events(visit: Visit) -> Plan:
    """Which events of a dead letter would be dropped for good."""
    return _events(
        visit, "Purge", "are dropped for good, and counted as dropped (purged).", for_good=True
    )


def stop(visit: Visit) -> Plan:
    """What of a job is done, and would stay so."""
    wanted = visit.field("job")
    job = next((each for each in list_jobs(visit.fleet) if each.job == wanted), None)
    if job is None:
        raise Refusal(404, f"there is no job {wanted}; they are kept for an hour")
    told = job_document(job)
    return Plan(
        f"Stop the {told.operation} of {count(told.counted.batches, 'batch', 'batches')}?",
        (
            f"It ends after the batch that it is at; {told.changed.batches:,} of "
            f"{told.counted.batches:,} are done, and stay done. The same order again does the rest.",
        ),
        "Stop it", (("job", wanted),), back="dead",
        possible=told.state in ("waiting", "running", "silent"),
    )  # fmt: skip


def _left_out(found: Found) -> list[str]:
    return [f"Left out, since they cannot be read: {each}." for each in found.search.unreadable]


def _all(amount: Amount) -> str:
    """All that are meant, or the only one."""
    sums = f"{count(amount.events, 'event')} in {count(amount.batches, 'batch', 'batches')}"
    return f"{'The' if amount.events == 1 else 'All'} {sums}"


def _chosen(found: Found, amount: Amount) -> str:
    is_one = amount.events == 1
    if found.wanted:
        return f"that {'matches' if is_one else 'match'} {str(found.wanted)!r}"
    return f"there {'is' if is_one else 'are'}"


def export(visit: Visit) -> Plan:
    """What a file of dead letters would hold."""
    refusal = why_not(visit)
    if refusal is not None:
        raise refusal
    found = find(visit, visit.field("filter"))
    amount = count_dead(batches_of(found), visit.fleet.now_ms()).amount
    sums, is_one = _all(amount).partition(" ")[2], amount.events == 1
    return Plan(
        f"Export {sums}?",
        (
            f"{_all(amount)} {_chosen(found, amount)} now {'is' if is_one else 'are'} written to a file, "
            f"which your browser keeps. {'It stays a' if is_one else 'They stay'} dead "
            f"{'letter' if is_one else 'letters'} here.",
            "vwo-celery dead import FILE brings them back, each once, as they were. In place of the SDK "
            "key the file has a mark, for which the import puts the queue's key.",
            "Events hold what they held, such as addresses and visitors: keep the file accordingly.",
        ),
        "Export", (("filter", visit.field("filter")),),
        doubts=tuple(_left_out(found)), back="dead",
    )  # fmt: skip
