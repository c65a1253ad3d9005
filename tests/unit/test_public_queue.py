"""The public names of a queue: those an application needs, and none of the producer beneath."""

from __future__ import annotations

import vwo_celery
import vwo_celery.aio

DESTINATION = vwo_celery.Destination(account_id=1, sdk_key="k" * 32, generation="fme")
NAMES = {
    "batch", "destination", "drain_spool", "dropped", "enqueue", "enqueue_many", "flush_events", "name",
    "not_replicated", "results", "settings", "spooled",
}  # fmt: skip
AIO_NAMES = {
    "aclose", "drain_spool", "enqueue", "enqueue_many", "flush_events", "spooled", "sync",
}  # fmt: skip


def public_names(thing: object) -> set[str]:
    """The names that a completion list shows."""
    return {name for name in dir(thing) if not name.startswith("_")}


def test_a_queue_shows_what_an_application_needs() -> None:
    """A queue has no other public names: applications would use them, and they could not change later."""
    assert public_names(vwo_celery.connect(DESTINATION, spool_dir="")) == NAMES


def test_a_queue_for_asyncio_shows_what_an_application_needs() -> None:
    """A queue for asyncio has the same names, and the queue for threads."""
    assert public_names(vwo_celery.aio.connect(DESTINATION, spool_dir="")) == AIO_NAMES
