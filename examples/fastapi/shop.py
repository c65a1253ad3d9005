"""A FastAPI application that tracks without blocking its loop: `uvicorn shop:app --workers 2`.

Requests that run at the same time share round trips to Redis. This process imports neither Celery
nor an HTTP client; `worker.py` sends the batches.
"""

import os
import time
from contextlib import asynccontextmanager

from fastapi import FastAPI

from vwo_celery import Destination, aio
from vwo_celery.event_kinds import Visitor, custom_event

destination = Destination(
    generation="fme",
    account_id=os.environ.get("VWO_ACCOUNT_ID", "888888"),
    sdk_key=os.environ.get("VWO_SDK_KEY", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"),
    # Empty: VWO's own host. Else this server, such as vwo_celery's stand-in for VWO.
    base_url=os.environ.get("VWO_BASE_URL", ""),
)
# Connects to nothing yet; VWO_CELERY_REDIS_URL says where Redis is.
queue = aio.connect(
    destination,
    batch_event_data={
        "events_per_request": int(os.environ.get("SHOP_EVENTS_PER_REQUEST", "100")),
        "request_time_interval": int(os.environ.get("SHOP_REQUEST_TIME_INTERVAL", "10")),
    },
)


@asynccontextmanager
async def lifespan(_app):
    """Wait, before the process ends, for events that are being stored."""
    yield
    await queue.aclose()


app = FastAPI(lifespan=lifespan)


@app.post("/buy/{visitor}")
async def buy(visitor: str, order: int, price: float = 49.90):
    """Tell VWO of an order; the receipt says where the event is."""
    event = custom_event(
        destination,
        Visitor(user_id=visitor),
        "purchase",
        {"order": order, "price": price},
        time_ms=time.time_ns() // 1_000_000,
    )
    receipt = await queue.enqueue(event)
    return {"event": receipt.where, "process": os.getpid()}
