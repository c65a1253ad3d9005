"""The doctor's finding about a Redis that cannot be used: each kind of trouble has its own.

Also the reason in every command's error line. Where Redis answers, it is asked for what its error
leaves out: the rights that the user lacks, the key of a wrong type. Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from vwo_celery.connections.remedies import TROUBLES
from vwo_celery.connections.troubles import remedy_of, right_for, trouble_of
from vwo_celery.errors import VwoCeleryError
from vwo_celery.operating.doctor.finding import Finding, problem
from vwo_celery.operating.doctor.wording import names
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.looks.types import wrong_types
from vwo_celery.queue.servers.facts import ServerFacts, read_servers
from vwo_celery.queue.servers.permissions import worker_lacks

#: The finding of each kind of trouble, by its word.
KINDS_OF_TROUBLES: Final = {
    "refused": "VC201",
    "name": "VC202",
    "timeout": "VC203",
    "tls": "VC204",
    "file": "VC204",
    "password": "VC205",
    "sentinel_password": "VC205",
    "loading": "VC206",
    "clients": "VC207",
    "cluster": "VC208",
    "moving": "VC208",
    "forbidden": "VC209",
    "unreachable": "VC209",
    "protected": "VC209",
    "pool": "VC209",
    "lost": "VC209",
    "url": "VC209",
    "other": "VC209",
    "replica": "VC210",
    "memory": "VC211",
    "type": "VC212",
    "busy": "VC213",
    "disk": "VC214",
    "replicas": "VC215",
    "of_cluster": "VC217",
    "no_cluster": "VC217",
    "sentinel": "VC217",
    "no_sentinel": "VC217",
    "service": "VC217",
    "unknown": "VC217",
    "database": "VC217",
    "sentinels": "VC221",
    "master": "VC222",
    "denied": "VC301",
}
#: The setting with the address, and the option of a command that comes before it.
ADDRESS: Final = "redis_url (VWO_CELERY_REDIS_URL, --redis-url)"


class Reason(NamedTuple):
    """Why Redis cannot be used, and what to do."""

    what: str
    remedy: str


def reason_of(exc: BaseException, open_fleet: Callable[[], Fleet]) -> Reason:
    """Say why Redis cannot be used; where it answers, ask it for what its error leaves out.

    Args:
        exc: The error.
        open_fleet: Opens the queues, to see which rights the user lacks, or which key is wrong.
    """
    word, remedy = trouble_of(exc).word, remedy_of(exc, ADDRESS)
    with suppress(VwoCeleryError):
        if word == "unknown" and any(each.sentinel for each in _servers(open_fleet())):
            sentinel = TROUBLES["sentinel"]
            return Reason(f"{exc}: {sentinel.says}", sentinel.remedy_for(ADDRESS))
        if word == "denied" and (lacking := worker_lacks(open_fleet())):
            return Reason(f"{exc}; {lacking}", f"as an administrator of Redis: {lacking.remedy}")
        if word == "type" and (wrong := wrong_types(open_fleet())):
            named = names(map(str, wrong))
            return Reason(f"{exc}: {named}", wrong[0].remedy)
    if word == "denied" and (line := right_for(exc)):  # without it, nothing can be asked
        remedy = f"as an administrator of Redis: {line}; then look again, more may be missing"
    return Reason(str(exc), remedy)


def _servers(fleet: Fleet) -> list[ServerFacts]:
    return read_servers(fleet.client, ask_config=False)


def away_finding(
    url: str, exc: BaseException, open_fleet: Callable[[], Fleet], spooled: str = ""
) -> Finding:
    """Say why Redis cannot be used, and what to do about that.

    Args:
        url: Its URL, masked.
        exc: The error.
        open_fleet: See `reason_of`.
        spooled: Words for the events of this host that wait for it, "" for none.
    """
    reason = reason_of(exc, open_fleet)
    waits = f"; {spooled}" if spooled else ""
    kind = KINDS_OF_TROUBLES[trouble_of(exc).word]
    return problem(kind, f"{url} cannot be used: {reason.what}{waits}", reason.remedy)
