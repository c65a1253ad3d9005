"""Queues that drop their oldest events at a bound, and what the doctor finds in them."""

from __future__ import annotations

from typing import Any

import vwo_celery
from tools import producers
from tools.queue_states import Queues
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.receipts import Receipt
from vwo_celery.settings import Settings

FULL = Receipt(where="dropped", reason="queue_full")
BROKER = BrokerFacts(url="redis://broker", queue="q", workers=("w",), consumers=("w",))


def connect(url: str, **settings: Any) -> vwo_celery.Queue:
    """A queue without a spool that drops its oldest events; three events make a batch."""
    options = {"batch": {"events_per_request": 3}, "when_full": "drop_oldest", "spool_dir": ""}
    return producers.connect(url, **{**options, **settings})


def findings(queues: Queues, check: str) -> list[Finding]:
    """The doctor's findings of one check."""
    found = doctor.examine(
        Settings(redis_url=queues.settings.redis_url), lambda: queues.fleet, lambda _: BROKER
    )
    return [finding for finding in found if finding.check == check]
