"""An application as users write it; each line that is marked with "wrong" must fail type checks.

Checked by mypy and pyright (`test_typing.py`), never run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import starlette.applications

import vwo_celery
import vwo_celery.aio
import vwo_celery.relay
from vwo_celery import BatchEventData, Destination, Queue, Settings, SettingsArguments
from vwo_celery.settings import BatchSettings, DjangoSettings

destination = Destination(account_id=1, sdk_key="k", generation="fme")


def on_flush(error: str | None, events: list[Any]) -> None:
    """A callback."""


@dataclass
class Options:
    """Batch options of one's own."""

    events_per_request: int = 5


# -- right

queue: Queue = vwo_celery.connect(
    destination,
    batch_event_data={"events_per_request": 500, "request_time_interval": 60},
    redis_url="redis://localhost",
    lease_seconds=90,
    allowed_hosts=["proxy.example"],
    callback_modules=("shop.analytics",),
    when_full="drop_oldest",
    spool_dir=Path("/var/spool/shop"),
    max_dead_events=None,
)
vwo_celery.connect(destination, batch_event_data={"eventsPerRequest": 5, "flushCallback": on_flush})
vwo_celery.connect(destination, batch_event_data={"BatchMinSize": 5, "flush_callback": "a:b"})
vwo_celery.connect(destination, batch_event_data={"batchUploadTimeInterval": 60_000.0})
vwo_celery.connect(destination, batch_event_data=BatchSettings(5, 60.0))
vwo_celery.connect(destination, batch_event_data=Options())
vwo_celery.connect(destination, batch_event_data=None, settings=Settings(shards=2))
vwo_celery.aio.connect(destination, batch_event_data={"events_per_request": 5}, namespace="shop")
vwo_celery.attach(object(), batch_event_data=msgspec.UNSET, shards=2)
vwo_celery.attach(object(), batch_event_data={"request_time_interval": 60}, strict=True)
vwo_celery.shadow(object(), base_url="https://collect.example", shards=2)
vwo_celery.init({"sdk_key": "k", "account_id": "1"}, brand="wingify", redis_url="redis://r")
relay: vwo_celery.relay.Relay = vwo_celery.relay.relay_app(
    accounts={1: ["k"]}, batch_event_data={"batchMinSize": 5}, relay_workers=2
)
vwo_celery.relay.relay_app(accounts={"1": {"keys": "*"}}, everybody=True, prefix="/vwo")
starlette.applications.Starlette().mount("/", relay)
Settings.load(lease_seconds=90.5, shards=None)
vwo_celery.health(redis_url="redis://r")
options: BatchEventData = {"events_per_request": 5}
arguments: SettingsArguments = {"lease_seconds": 90}
vwo_celery.connect(destination, batch_event_data=options, **arguments)
VWO_CELERY: DjangoSettings = {"redis_url": "redis://r", "LEASE_SECONDS": 90}

# -- a wrong name or a wrong type

vwo_celery.connect(destination, lease_secnds=90)  # wrong
vwo_celery.connect(destination, lease_seconds="90")  # wrong
vwo_celery.connect(destination, when_full="drop")  # wrong
vwo_celery.connect(destination, allowed_hosts="proxy.example")  # wrong
vwo_celery.connect(destination, shards=1.5)  # wrong
vwo_celery.connect(destination, batch_event_dta={"events_per_request": 5})  # wrong
vwo_celery.connect(destination, batch_event_data={"events_per_reqest": 5})  # wrong
vwo_celery.connect(destination, batch_event_data={"events_per_request": "5"})  # wrong
vwo_celery.connect(destination, batch_event_data={"flushCallback": 5})  # wrong
vwo_celery.connect(destination, batch_event_data=5)  # wrong
vwo_celery.aio.connect(destination, redis=object())  # wrong
vwo_celery.aio.connect(destination, lease_secnds=90)  # wrong
vwo_celery.aio.connect(destination, batch_event_data={"events_per_reqest": 5})  # wrong
vwo_celery.attach(object(), lease_secnds=90)  # wrong
vwo_celery.attach(object(), batch_event_data={"events_per_reqest": 5})  # wrong
vwo_celery.shadow(object(), lease_secnds=90)  # wrong
vwo_celery.shadow(object(), batch_event_data=None)  # wrong
vwo_celery.init({}, lease_secnds=90)  # wrong
vwo_celery.init({}, brand="vow")  # wrong
vwo_celery.health(lease_secnds=90)  # wrong
Settings(lease_secnds=90)  # wrong
Settings.load(lease_secnds=90)  # wrong
Destination(account_id=1, sdk_key="k", generation="fme", regin="eu01")  # wrong
Destination(account_id=1, sdk_key="k", generation="new")  # wrong
settings_of_django: DjangoSettings = {"LEASE_SECNDS": 90}  # wrong
queue.flush_events(timeout=5)  # wrong
