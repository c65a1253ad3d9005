"""Changes in the admin's own history, besides our audit: an entry of Django's for each queue.

Beside an event's way. A change that is made stays made where its entry cannot be stored: the audit in
Redis has it, and a warning says so. So it is if the process dies between the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from django.apps import apps
from django.db import DatabaseError

from vwo_celery.console import Change, Right
from vwo_celery.logs import log
from vwo_celery.operating.batches.filters import without_visitors
from vwo_celery.text.lines import one_line

#: Most queues of one change that get an entry each, as a history of a queue's own.
MOST_QUEUES: Final = 20
#: What an entry names where no queue was.
_NO_QUEUE: Final = "event queues"
#: Most letters of an entry's object, which is a column of the database.
_LONGEST_NAME: Final = 200
#: Most letters of what an entry says.
_LONGEST_MESSAGE: Final = 1_000


def note(change: Change) -> None:
    """Store an entry for each queue of a change, or one if it names none; none without the admin."""
    if not apps.is_installed("django.contrib.admin"):
        return
    try:
        _store(change)
    except DatabaseError as exc:
        log.warning(
            "%s by %s is not in the admin's history: %s",
            change.action.name, change.visit.visitor.name, type(exc).__name__,
        )  # fmt: skip


def _store(change: Change) -> None:
    from django.contrib.admin.models import CHANGE, DELETION, LogEntry
    from django.contrib.contenttypes.models import ContentType

    from vwo_celery.django.console.models import EventQueue

    order = stated(change.order)
    flag = DELETION if change.action.right is Right.PURGE else CHANGE
    kind = ContentType.objects.get_for_model(EventQueue)
    said = message(change, order)[:_LONGEST_MESSAGE]
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=change.visit.request.native.user.pk, content_type=kind, object_id=queue,
            object_repr=(queue or _NO_QUEUE)[:_LONGEST_NAME], action_flag=flag,
            change_message=said,
        )
        for queue in queues_of(order)
    )  # fmt: skip


def stated(order: msgspec.Struct) -> dict[str, Any]:
    """What an order says beyond its defaults, but for counts' moments and visitors' ids."""
    fields = {each.name: each.default for each in msgspec.structs.fields(order)}
    values = msgspec.to_builtins(order)
    if "visitor:" in values.get("filter", ""):  # whoever sees the console sees its history
        values["filter"] = without_visitors(values["filter"])
    return {
        name: value
        for name, value in values.items()
        if value != fields[name] and not name.endswith("_ms")
    }


def queues_of(order: Mapping[str, Any]) -> list[str]:
    """The queues that an order names, the first of many; [""] for all, or what a filter finds."""
    return [one_line(name) for name in order.get("queues", ())[:MOST_QUEUES]] or [""]


def message(change: Change, order: Mapping[str, Any]) -> str:
    """What an entry says: the action, what was asked for, and what came of it."""
    parts = [change.action.name, *_given(order)]
    if change.error:
        parts.append(f"failed: {one_line(change.error)}")
    return "; ".join((*parts, *_given(msgspec.to_builtins(change.document))))


def _given(document: Any) -> Iterator[str]:
    """The short values of a document that are set."""
    if not isinstance(document, Mapping):
        return
    for name, value in document.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        if shown and isinstance(shown, str | int | float):
            yield f"{name}: {one_line(str(shown))}"
