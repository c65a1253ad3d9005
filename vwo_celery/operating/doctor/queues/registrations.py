"""The doctor's checks of what queues are: registered, readable, and within what workers may do.

Pure decisions on registrations and views: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from vwo_celery.errors import CallbackRefused
from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.operating.doctor.wording import MOST_NAMES, names
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.types import WrongType
from vwo_celery.queue.words.registration import Registration, Registrations
from vwo_celery.sending.hosts import host_allowed
from vwo_celery.settings import Settings
from vwo_celery.settings.callbacks import find_callback
from vwo_celery.text.amounts import count
from vwo_celery.text.wording import page


def registered_finding(
    fleet: Fleet, found: Registrations, strays: Sequence[QueueView], settings: Settings
) -> Finding:
    """Judge whether there are registrations, and whether all of them can be read."""
    if found.unreadable:
        name, reason = next(iter(found.unreadable.items()))
        held = sum(view.undelivered for view in strays if view.queue in found.unreadable)
        list_of_queues = fleet.keys.queues
        return problem(
            "VC602",
            f"the registration of {names(found.unreadable)} cannot be read by this release, and "
            f"{count(held, 'event')} of theirs cannot be sent: {reason}",
            "if a later release wrote it, upgrade the workers and this command; else restart its "
            "application, whose first event registers the queue again; if that changes nothing, "
            "give it the registration of the queue that the application uses now (vwo-celery "
            f'queues): redis-cli HSET {list_of_queues} {name} "$(redis-cli HGET {list_of_queues} '
            'QUEUE)"',
        )
    if not found.readable and strays:
        return ok("queues", "none is registered, and some hold events: see unregistered")
    if not found.readable:
        return warn(
            "VC601",
            f"no queue is registered in namespace {settings.namespace!r}",
            "an application registers its queue with its first event; see whether its redis_url "
            "and namespace are the ones given here",
        )
    return ok("queues", f"{count(len(found.readable), 'queue')} registered")


def hosts_finding(
    registered: Mapping[str, Registration], views: Sequence[QueueView], settings: Settings
) -> Finding:
    """Judge whether workers with these settings may send to the host of every queue that one takes."""
    refused: dict[str, list[str]] = {}
    told = {view.queue for view in views if view.declined_by_all}  # by `declined_finding`
    for queue, registration in registered.items():
        if queue not in told and not host_allowed(registration.destination, settings.allowed_hosts):
            refused.setdefault(registration.destination.origin, []).append(queue)
    if not refused:
        which = "every other queue" if told & registered.keys() else "every queue"
        return ok("hosts", f"workers with these settings may send to {which}'s host")
    hosts = "; ".join(f"{origin} of {names(queues)}" for origin, queues in refused.items())
    held = {view.queue for view in views if view.undelivered}
    waiting = [queue for queues in refused.values() for queue in queues if queue in held]
    return (problem if waiting else warn)(
        "VC102",
        f"workers with these settings refuse to send to {hosts}",
        "if it is meant, add the host to allowed_hosts (VWO_CELERY_ALLOWED_HOSTS) of every worker, and "
        "where doctor runs; if it is wrong, correct it in the application, or relay_upstream "
        "of the relay, then: vwo-celery move "
        f"--from {[*waiting, *next(iter(refused.values()))][0]} --to-host URL",
    )


def callback_findings(
    registered: Mapping[str, Registration], settings: Settings
) -> Iterator[Finding]:
    """Judge whether workers with these settings may import every `flush_callback`, and can."""
    paths = sorted({found.flush_callback for found in registered.values()} - {""})
    refused = [finding for path in paths if (finding := _callback(path, settings)) is not None]
    if paths and not refused:
        yield ok("callbacks", f"{count(len(paths), 'flush_callback')} can be imported")
    yield from refused


def _callback(path: str, settings: Settings) -> Finding | None:
    try:
        find_callback(path, settings.callback_modules)
    except CallbackRefused as exc:
        what = f"with these settings: {exc}"
        remedy = "make it importable for every worker; batches are delivered without it"
        # An import that fails here may well succeed where the workers run.
        return warn("VC104", what, remedy) if exc.__cause__ else problem("VC103", what, remedy)
    return None


def stray_findings(strays: Sequence[QueueView]) -> Iterator[Finding]:
    """Judge the queues that hold something and are not registered."""
    if strays:
        held = sum(view.undelivered for view in strays)
        yield problem(
            "VC603",
            f"{names(view.queue for view in strays)} hold {count(held, 'event')} and are not "
            "registered, so no worker can send them",
            "start the application that they belong to: its first event registers its queue again",
        )


def declined_finding(views: Sequence[QueueView]) -> Finding:
    """Judge the queues that workers leave to others."""
    declined = [view for view in views if view.declines]
    if not declined:
        return ok("declined", "no worker leaves a queue to others")
    worst = [view for view in declined if view.declined_by_all]
    which = "; ".join(
        f"{view.queue} by {names(decline.worker for decline in view.declines)}: "
        f"{view.declines[0].why}"
        for view in (worst or declined)[:MOST_NAMES]
    )
    if worst:
        held = any(view.undelivered for view in worst)
        return (problem if held else warn)(
            "VC406",
            f"{count(len(worst), 'queue')} declined by every listening worker: {which}",
            "mend it in one of them, or start one that may; the queue then goes on by itself (where it "
            "is only the callback, its events are sent without it meanwhile); if its host is wrong, "
            "correct that in the application, then: vwo-celery move "
            f"--from {worst[0].queue} --to-host URL",
        )
    return warn(
        "VC407",
        f"{count(len(declined), 'queue')} left to others by some workers: {which}",
        "mend it in the workers named, if it is not meant so",
    )


def unreadable_findings(
    views: Sequence[QueueView], wrong_types: Callable[[QueueView], Sequence[WrongType]]
) -> Iterator[Finding]:
    """Judge what this release cannot read of the queues, one finding for each of them.

    Args:
        views: The queues.
        wrong_types: The keys of a queue that have a wrong type, which Redis' own error does not name.
    """
    for view in views:
        if not view.unreadable:
            continue
        wrong = wrong_types(view)
        remedy = (
            "if a later release wrote it, let its workers run; else somebody edited the keys: "
            f"{page('docs/reference/redis-keys.md')} has what belongs there"
        )
        yield problem(
            "VC604",
            f"this release cannot read of {view.queue}: {names([*map(str, wrong), *view.unreadable])}; a "
            "batch whose line cannot be read is left as it is, and its worker goes on with the others",
            wrong[0].remedy if wrong else remedy,
        )
