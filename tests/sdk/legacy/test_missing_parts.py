"""A legacy client whose SDK lacks a part that attach needs: refused, and nothing is changed."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from vwo.constants import constants
from vwo.services.usage_stats_manager import UsageStats

import vwo_celery
from sdk.mutilated import without
from vwo_celery.errors import SdkError

#: Everything of the SDK that attach reads or replaces, by the object that has it.
PARTS = {
    "client": [
        "settings_file", "event_dispatcher", "is_opted_out", "is_event_batching_enabled",
        "flush_events",
    ],
    "event_dispatcher": [
        "async_dispatch", "build_event_payload", "flush_queue", "event_batching",
        "events_per_request", "request_time_interval", "flush_callback", "sdk", "sdk_v", "queue",
        "lock", "timer",
    ],
    "constants": ["HTTPS_PROTOCOL", "ENDPOINTS"],
    "constants.ENDPOINTS": ["BASE_URL"],
    "UsageStats": ["get_usage_stats"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in PARTS.items() for name in names]
)
def test_a_missing_part_is_named_and_the_client_stays_as_it_was(
    owner, name, launch, redis_url, redis, standin, request
):
    """The error names release, part and remedy; events go on through the SDK's own queue."""
    client = launch()
    client.push("plan", "gold", "user-1")
    dispatcher = client.event_dispatcher
    request.addfinalizer(dispatcher.timer.cancel)
    holders = {
        "client": client, "event_dispatcher": dispatcher, "constants": constants,
        "constants.ENDPOINTS": constants.ENDPOINTS, "UsageStats": UsageStats,
    }  # fmt: skip
    before = [dict(vars(client)), dict(vars(dispatcher)), [*dispatcher.queue], type(dispatcher)]

    with without(holders[owner], name), pytest.raises(SdkError) as caught:
        vwo_celery.attach(client, redis_url=redis_url)

    for said in (f"vwo-python-sdk {version('vwo-python-sdk')}", name, "pip install"):
        assert said in str(caught.value)
    after = [dict(vars(client)), dict(vars(dispatcher)), [*dispatcher.queue], type(dispatcher)]
    assert after == before
    assert dispatcher.timer.is_alive()
    assert client.flush_events("sync")
    assert [len(batch.events) for batch in standin.batches] == [1]
    assert redis.dbsize() == 0
