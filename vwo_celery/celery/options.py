"""Options of our tasks and of their messages, which hold whatever the project's settings say.

A project's settings are made for its own tasks: a time limit of 5 s would kill a POST that VWO has
accepted, and the batch would be sent again. So every message states its serializer and its limits.
Decides on settings alone: nothing to lose.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from celery import Celery
from kombu.exceptions import SerializerNotInstalled
from kombu.serialization import prepare_accept_content

from vwo_celery.delivering.refusals import SEARCH_SECONDS
from vwo_celery.delivering.turns import BUDGET_SECONDS
from vwo_celery.settings import Settings

DELIVER, SWEEP, FLUSH = "vwo_celery.deliver", "vwo_celery.sweep", "vwo_celery.flush"
OPERATE = "vwo_celery.operate"
#: Serializer of our messages in every app that accepts it, also one that pickles its own tasks.
_SERIALIZER = "json"
#: Time for an application's receivers and callbacks, in seconds; the batch is settled by then.
_RECEIVERS_SECONDS = 600.0
#: Header with the namespace that a message belongs to; releases before 0.2.0 neither set nor read it.
NAMESPACE_HEADER = "vwo_namespace"


class Limits(NamedTuple):
    """The time limits of our tasks, in seconds.

    At the soft limit Celery raises an exception in the task, which hands its batch back; at the hard
    one it kills the process.
    """

    soft: int
    hard: int


def longest_delivery_seconds(settings: Settings) -> float:
    """Longest time from a task's start until its last batch is settled, receivers left aside."""
    posts = 2 * settings.request_timeout_seconds  # of the batch, and the last one of a search in it
    return BUDGET_SECONDS + posts + SEARCH_SECONDS + settings.lease_seconds


def shortest_limit_seconds(settings: Settings) -> float:
    """Shortest time limit that cuts no ordinary delivery off in its POST."""
    return BUDGET_SECONDS + settings.request_timeout_seconds


def limits(settings: Settings) -> Limits:
    """The limits that no delivery reaches unless it hangs.

    Between the two there is time for a whole delivery: an application's receiver may swallow the
    exception of the soft limit, and the next batch must not be killed for that.
    """
    longest = longest_delivery_seconds(settings)
    soft = math.ceil(longest + _RECEIVERS_SECONDS)
    return Limits(soft, soft + math.ceil(longest))


def serializer_of(app: Celery) -> str:
    """The serializer of our messages in *app*: JSON, or the app's own where it accepts no JSON.

    Our arguments are names and numbers, which any serializer carries. What the app accepts is left
    as it is: one that takes only signed messages has a reason.
    """
    accepted: list[str] = list(app.conf.accept_content)
    for name in (_SERIALIZER, str(app.conf.task_serializer), *accepted):
        if is_accepted(name, accepted):
            return name
    return _SERIALIZER


def is_accepted(serializer: str, accepted: Iterable[str]) -> bool:
    """Whether workers that accept *accepted*, names or content types, read this serializer."""
    wanted = _content_type(serializer)
    return bool(wanted) and wanted in map(_content_type, accepted)


def _content_type(serializer: str) -> str:
    """The content type of a serializer's name or content type; "" if this process lacks it."""
    try:
        return "".join(prepare_accept_content([serializer]) or ())
    except SerializerNotInstalled:
        return ""


def routing(app: Celery, settings: Settings) -> dict[str, Any]:
    """Options of every message: serializer, limits, namespace, and `celery_queue` where it is set."""
    soft, hard = limits(settings)
    queue = {"queue": settings.celery_queue} if settings.celery_queue else {}
    return {
        "serializer": serializer_of(app),
        "soft_time_limit": soft,
        "time_limit": hard,
        "headers": {NAMESPACE_HEADER: settings.namespace},
        **queue,
    }
