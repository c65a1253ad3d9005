"""Wire parity: an FME event through the shared queue leads to the same request as the SDK's own."""

from __future__ import annotations

import pytest

from sdk import wire
from sdk.fme.attached import ATTACHED
from sdk.fme.scenarios import SCENARIOS

pytestmark = pytest.mark.declared_keys("watched")

BATCHING = {"events_per_request": 100, "request_time_interval": 600}

_INITIALISED = """
client = vwo_celery.init(OPTIONS, redis_url=REDIS_URL)
"""
_CALLS = """
for method, *arguments in F["calls"]:
    getattr(client, method)(*arguments)
result = client.flush_events()
tell(whole=bool(result), reason=result.reason)
"""


def test_every_recorded_request_has_its_scenario(captures):
    """Captures and scenarios have the same names."""
    recorded = {path.stem.removeprefix("fme_") for path in captures.glob("fme_*.json")}

    assert recorded == set(SCENARIOS)


@pytest.mark.parametrize("start", [ATTACHED, _INITIALISED], ids=["attach", "init"])
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_the_request_equals_the_sdks_own(
    name, start, application, capture, settings, standin, worker
):
    """Method, path, query and its order, headers, and every event with its key order are equal."""
    recorded, scenario = capture(f"fme_{name}"), SCENARIOS[name]
    settings.update(scenario.settings)

    told = application(start, _CALLS, options={"batch_event_data": BATCHING}, calls=scenario.calls)

    assert told.facts == {"whole": True, "reason": ""}
    [request] = standin.batches
    assert wire.of_request(request, "fme") == wire.of_capture(recorded)


def test_wingify_init_keeps_its_own_name(application, standin, worker):
    """Events of wingify.init carry that brand's SDK name, in the query and in the event."""
    told = application(
        """
        client = vwo_celery.init(OPTIONS, brand="wingify", redis_url=REDIS_URL)
        client.track_event("purchase", USER)
        tell(whole=bool(client.flush_events()))
        """
    )

    assert told.facts == {"whole": True}
    [request] = standin.batches
    assert request.query["sn"] == "wingify-fme-python-sdk"
    [event] = request.events
    assert event["d"]["event"]["props"]["vwo_sdkName"] == "wingify-fme-python-sdk"
