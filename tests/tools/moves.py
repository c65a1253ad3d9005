"""Moves of a queue's events, as an operator plans and begins them, and what a worker would send then."""

from __future__ import annotations

from typing import Any

import msgspec

from tools.queue_states import Queues
from vwo_celery import Queue
from vwo_celery.operating import operations
from vwo_celery.operating.batches import move_plans
from vwo_celery.operating.batches.move_plans import Changes, Plan
from vwo_celery.operating.looks.ledgers import prove
from vwo_celery.operating.operations import Moved
from vwo_celery.operating.past.audit import Actor
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.registration import Registration

NEW_KEY = "f" * 32
OPERATOR = Actor("ada", "cli", "host")


def plan(queues: Queues, queue: Queue, changes: Changes | None = None, **options: Any) -> Plan:
    """The plan of a move to the same destination with another key, or with other changes."""
    return move_plans.plan_to_changed(
        queues.fleet, queues.settings, queues.registered, queues.registered[queue.name],
        changes or Changes(sdk_key=NEW_KEY), **options,
    )  # fmt: skip


def move(queues: Queues, planned: Plan, **options: Any) -> Moved:
    """The move of a plan."""
    return operations.move(queues.fleet, OPERATOR, planned, **options)


def drain(queues: Queues, registration: Registration) -> list[bytes]:
    """All events of a queue, as a worker would send them; they are delivered then."""
    events: list[bytes] = []
    for shard in queues.fleet.all_shards(registration):
        shard.sweep(force=True, idle_ms=1)
        while isinstance(batch := shard.claim(token="", lease_seconds=60), Batch):
            events += shard.read(batch)
            assert shard.ack(batch.id)
    return events


def texts(*numbers: int) -> list[bytes]:
    """The events that `Queues.fill` makes of these numbers."""
    return [msgspec.json.encode({"n": number}) for number in numbers]


def balanced(queues: Queues) -> bool:
    """Whether every ledger balances, by its counters and by a proof that counts every batch."""
    proofs = prove(queues.fleet, queues.registered)
    return all(view.ledger.balanced for view in queues.views()) and all(
        proof.balanced for proof in proofs
    )
