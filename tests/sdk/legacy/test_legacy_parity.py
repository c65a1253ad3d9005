"""Wire parity: a legacy event through the shared queue leads to the same request as the SDK's own."""

from __future__ import annotations

import pytest

import vwo_celery
from sdk import wire
from sdk.legacy.scenarios import SCENARIOS

pytestmark = pytest.mark.declared_keys("watched")


def test_every_recorded_request_has_its_scenario(captures):
    """Captures and scenarios have the same names."""
    recorded = {path.stem.removeprefix("legacy_") for path in captures.glob("legacy_*.json")}

    assert recorded == set(SCENARIOS)


@pytest.mark.parametrize(
    "batch_events", [{"events_per_request": 100}, None], ids=["batch", "single"]
)
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_the_request_equals_the_sdks_own(
    name, batch_events, launch, capture, redis_url, standin, worker
):
    """Method, path, query and its order, headers, and every event with its key order are equal.

    A client that was launched without batching has the batch shapes once it is attached.
    """
    recorded, scenario = capture(f"legacy_{name}"), SCENARIOS[name]
    client = launch(changed=scenario.changed, batch_events=batch_events, **scenario.options)
    vwo_celery.attach(client, redis_url=redis_url)

    for method, arguments, keywords in scenario.calls:
        assert getattr(client, method)(*arguments, **keywords)

    assert client.flush_events()
    [request] = standin.requests
    assert wire.of_request(request, "legacy") == wire.of_capture(recorded)
