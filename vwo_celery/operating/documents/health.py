"""The document of `health`: do events leave in time? Probes ask it, so it imports little.

Nothing to lose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.operating.doctor.connection import reason_of
from vwo_celery.operating.doctor.workers import listener_finding
from vwo_celery.operating.looks.alive import SignOfLife, read_sign
from vwo_celery.operating.looks.health import Health, health
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.parts import Part, describe_away
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import span
from vwo_celery.text.masking import mask_url

_ASK_DOCTOR = "vwo-celery doctor says what is wrong"


class HealthDocument(msgspec.Struct, frozen=True):
    """Whether events leave in time.

    Attributes:
        healthy: Whether they do.
        problems: What is wrong.
        remedy: What to do, "" if nothing is.
        listeners: Workers that listen; None, as the next and `relays`, where it was not counted.
        pending: Events that are open or ready, in queues that are not paused.
        stopped: Queues of which nothing is sent: no fault of the workers.
        relays: Processes of relays that run.
        unreadable: Keys that cannot be read, each with the reason: what is in them is not judged.
    """

    healthy: bool
    problems: tuple[str, ...] = ()
    remedy: str = ""
    listeners: int | None = None
    pending: int | None = None
    stopped: tuple[str, ...] = ()
    relays: int | None = None
    unreadable: tuple[str, ...] = ()


def judge(fleet: Fleet, settings: Settings, parts: Sequence[Part] = ()) -> Health:
    """Judge the queues and the workers; parts of a Cluster that are away are problems, too.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    found = health(fleet, settings)
    away = tuple(describe_away(part, time.time()) for part in parts)
    return structs.replace(found, problems=(*away, *found.problems))


def document_of(found: Health, parts: Sequence[Part] = ()) -> HealthDocument:
    """The document of a judgement."""
    remedy = ""
    if found.problems:
        remedy = (
            _ASK_DOCTOR
            if found.listeners or found.unreadable or parts
            else listener_finding(()).remedy
        )
    return HealthDocument(not found.problems, remedy=remedy, **structs.asdict(found))


def unhealthy(problem: str, remedy: str = "") -> HealthDocument:
    """The document of one problem, where nothing was counted."""
    return HealthDocument(healthy=False, problems=(problem,), remedy=remedy)


def unseen(
    exc: VwoCeleryError, load: Callable[[], Settings], open_fleet: Callable[[], Fleet]
) -> HealthDocument:
    """The document where an error kept us from looking, which may be that of the settings."""
    if not isinstance(exc, QueueUnavailable):
        return unhealthy(str(exc))
    reason = reason_of(exc, open_fleet)
    url = mask_url(load().redis_url)
    return unhealthy(f"{url} cannot be used: {reason.what}", reason.remedy)


def sign_of_this_worker(settings: Settings) -> SignOfLife | HealthDocument:
    """The last sign of the worker whose file the settings name; a problem where there is none."""
    if not settings.alive_file:
        return unhealthy(
            "no file is named in which a worker gives a sign of life",
            "set VWO_CELERY_ALIVE_FILE, the same for the worker and for this probe",
        )
    try:
        sign = read_sign(Path(settings.alive_file))
    except (OSError, UnicodeDecodeError) as exc:
        return unhealthy(f"the sign of life cannot be read: {exc}", "let this probe read the file")
    if sign is None:
        return unhealthy(
            f"{settings.alive_file}: no worker has given a sign of life yet",
            "start the worker with the same VWO_CELERY_ALIVE_FILE; if it runs, its log says why "
            "the file cannot be written",
        )
    return sign


def unheard(sign: SignOfLife, settings: Settings) -> HealthDocument:
    """The document of a worker that Redis does not know."""
    return unhealthy(
        f"{sign.text} is not among the workers that listen to namespace {settings.namespace} of "
        f"{mask_url(settings.redis_url)}; its listener turned {span(sign.age_seconds)} ago",
        "let worker and probe have the same VWO_CELERY_REDIS_URL and VWO_CELERY_NAMESPACE; if they "
        "have, the worker's log says why it cannot be heard",
    )
