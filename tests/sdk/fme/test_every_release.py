"""What holds for every release of the FME SDKs that can be attached: `make sdk-matrix` runs it on each.

The attached client is compared with an unattached one of the same release.
"""

from __future__ import annotations

import re

import pytest

from sdk import wire
from sdk.fme.conftest import BRAND
from sdk.fme.scenarios import SCENARIOS, SHORT

pytestmark = pytest.mark.declared_keys("watched")

BATCHING = {"events_per_request": 100, "request_time_interval": 600}
#: Every kind of event, each in every form of its arguments.
CALLS = [call for scenario in SCENARIOS.values() for call in scenario.calls]
#: VWO's settings for a region, and for both events of the SDK's init.
SETTINGS = {"collectionPrefix": "eu01", "sdkMetaInfo": {}, "usageStatsAccountId": 777}
INIT_EVENTS = 2
_BATCHING_STAT = re.compile(r'"eb": 1, ')

_OWN = """
client = __import__(F["brand"]).init(OPTIONS)
"""
_ATTACHED = """
client = __import__(F["brand"]).init(OPTIONS)
queue = vwo_celery.attach(client, redis_url=REDIS_URL)
"""
_INITIALISED = """
client = vwo_celery.init(OPTIONS, brand=F["brand"], redis_url=REDIS_URL)
"""
_CALLS = """
decided = []
for method, *arguments in F["calls"]:
    answer = getattr(client, method)(*arguments)
    if method == "get_flag":
        answer = [answer.is_enabled(), answer.get_variables()]
    decided.append(answer)
tell(decided=decided)
"""
_FLUSH_OWN = """
from vwo_celery.testing import wait_for
client.flush_events()
wait_for(lambda: not client.batch_event_queue.is_batch_processing)
os._exit(0)
"""
_FLUSH = """
result = client.flush_events()
tell(whole=bool(result), pending=result.pending, reason=result.reason)
"""


@pytest.fixture
def settings(settings):
    """The recorded settings, for a region and with both events of the SDK's init."""
    settings.update(SETTINGS)
    return settings


@pytest.fixture
def own(application, standin):
    """What the unattached SDK decides, and the one request that it sends."""
    told = application(
        _OWN, _CALLS, _FLUSH_OWN, options={"batch_event_data": BATCHING}, calls=CALLS, brand=BRAND
    )
    [request] = standin.batches
    return told.facts["decided"], wire.of_request(request, "fme")


@pytest.mark.parametrize("start", [_ATTACHED, _INITIALISED], ids=["attach", "init"])
def test_a_batching_client_sends_what_the_sdk_would_have_sent(
    start, own, application, standin, worker
):
    """Decisions, request line, headers, and every event of init and of each call are the SDK's own."""
    told = application(
        start, _CALLS, _FLUSH, options={"batch_event_data": BATCHING}, calls=CALLS, brand=BRAND
    )

    decided, request = own
    assert told.facts == {"decided": decided, "whole": True, "pending": 0, "reason": ""}
    assert wire.of_request(standin.batches[-1], "fme") == request
    assert len(standin.batches) == 2


def test_a_client_without_batching_sends_the_same(own, application, standin, worker):
    """Attached, it batches as well; its init events have left before, each in its own request.

    Its usage statistics stay those of its options, so they do not name batching.
    """
    told = application(_ATTACHED, _CALLS, _FLUSH, calls=CALLS, brand=BRAND)

    decided, request = own
    assert told.facts == {"decided": decided, "whole": True, "pending": 0, "reason": ""}
    sent = wire.of_request(standin.batches[-1], "fme")
    expected = [_BATCHING_STAT.sub("", event) for event in request["events"][INIT_EVENTS:]]
    assert sent == {**request, "events": expected}


@pytest.mark.declared_keys("open")
def test_the_process_ends_and_its_events_wait_in_redis(application, standin, worker):
    """No thread of the SDK keeps a program up that did not flush."""
    application(
        _ATTACHED,
        'client.get_flag("checkout", F["user"]); client.track_event("purchase", F["user"])\n',
        options={"batch_event_data": BATCHING}, brand=BRAND, user=SHORT,
    )  # fmt: skip

    [shard] = worker.fleet.watched()
    assert worker.fleet.client.llen(shard.keys.open) >= INIT_EVENTS + 2
    assert standin.batches == []
