"""The queue for asyncio: `vwo_celery.aio.connect(…)`; see `vwo_celery.producing.aio`."""

from __future__ import annotations

from vwo_celery.producing.aio import AioQueue, connect

__all__ = ["AioQueue", "connect"]
