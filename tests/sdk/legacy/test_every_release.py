"""What holds for every release of the legacy SDK that can be attached: `make sdk-matrix` runs it on each.

The attached client is compared with an unattached one of the same release.
"""

from __future__ import annotations

import pytest

import vwo_celery
from sdk import wire
from sdk.legacy.scenarios import SCENARIOS, VISITOR, Scenario

pytestmark = pytest.mark.declared_keys("watched")

BATCHING = {"events_per_request": 100}
ALL = {
    **SCENARIOS,
    # With an account of this kind the SDK sends each event in a form of its own, unless it batches.
    "event_arch": Scenario(SCENARIOS["mixed"].calls, changed={"isEventArchEnabled": True}),
}


def made_calls(client, scenario):
    """What the client answers to each call."""
    return [
        getattr(client, method)(*arguments, **keywords)
        for method, arguments, keywords in scenario.calls
    ]


@pytest.mark.parametrize("batch_events", [BATCHING, None], ids=["batch", "single"])
@pytest.mark.parametrize("name", sorted(ALL))
def test_the_request_is_what_the_sdk_would_have_sent(
    name, batch_events, launch, redis_url, standin, worker
):
    """Answers, request line, headers, and every event with its key order are the SDK's own.

    A client that was launched without batching has the batch shapes once it is attached.
    """
    scenario = ALL[name]
    own = launch(changed=scenario.changed, batch_events=BATCHING, **scenario.options)
    answers = made_calls(own, scenario)
    assert own.flush_events("sync")
    shared = launch(changed=scenario.changed, batch_events=batch_events, **scenario.options)
    vwo_celery.attach(shared, redis_url=redis_url)

    assert made_calls(shared, scenario) == answers
    result = shared.flush_events()

    assert (bool(result), result.pending, result.reason) == (True, 0, "")
    by_sdk, by_worker = [wire.of_request(request, "legacy") for request in standin.requests]
    assert by_worker == by_sdk


def test_events_that_the_sdk_held_are_moved(launch, redis_url, standin, worker):
    """Events of before leave through the shared queue, and the SDK's timer runs no more."""
    client = launch()
    client.push("plan", "gold", "user-1")
    timer = client.event_dispatcher.timer
    vwo_celery.attach(client, redis_url=redis_url)
    client.activate("ab_full", "user-1", **VISITOR)

    assert client.flush_events()

    [batch] = standin.batches
    assert [event["eT"] for event in batch.events] == [3, 1]
    assert not timer.is_alive()
