"""Tools to test the whole way of an event on one machine: a real Redis and a stand-in for VWO.

Used by our tests, by the demo, and by tests of applications. They need neither Celery nor a network
beyond loopback. Files, in reading order: `waiting` (for a condition), `redis_binary` (finds a Redis),
`redis_server` (runs it), `standin/`. Nothing starts at import.
"""

from __future__ import annotations

from vwo_celery.testing.redis_binary import RedisServerMissing
from vwo_celery.testing.redis_server import RedisServer, RedisServerFailed
from vwo_celery.testing.standin import Fault, Request, Standin
from vwo_celery.testing.waiting import free_port, wait_for

__all__ = [
    "Fault",
    "RedisServer",
    "RedisServerFailed",
    "RedisServerMissing",
    "Request",
    "Standin",
    "free_port",
    "wait_for",
]
