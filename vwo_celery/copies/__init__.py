"""Copies of VWO's settings: SDKs get their settings through a relay, also while VWO is away.

Files, in reading order: `asking` (what an SDK asks, and which copy that is), `judging` (what an answer of
VWO's is worth), `memory` (the copies that this process has), `keeper` (looks a copy up, and fetches it).
Copies are kept in Redis, by `queue.records.copies`, for all relays. Every call here blocks; whoever has
an event loop makes it in a thread. If the process dies here, an SDK gets no answer and asks again.
"""

from __future__ import annotations

from vwo_celery.copies.asking import Asked
from vwo_celery.copies.keeper import FETCH_SECONDS, Found, Keeper, Reply, Task

__all__ = ["FETCH_SECONDS", "Asked", "Found", "Keeper", "Reply", "Task"]
