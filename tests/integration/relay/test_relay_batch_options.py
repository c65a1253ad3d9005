"""When relayed batches leave: options by account, from the relay's settings to VWO's side."""

from __future__ import annotations

import pytest

from tools.relays import FME, KEY, all_stored, relaying
from vwo_celery.connections import open_client
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.batches import Limits

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

ONE = b'{"ev":[{"d":{}}]}'


def limits(redis_url: str) -> dict[str, Limits]:
    """The limits of each account's queue, as it is registered."""
    client = open_client(redis_url, timeout_seconds=5)
    found = Fleet(client, "vwo").registrations().readable.values()
    client.close()
    return {str(each.destination.account_id): each.limits for each in found}


def test_each_account_has_its_own(redis_url: str) -> None:
    """The settings name some accounts; the others have the relay's own options."""
    settings = {
        "relay_accounts": [f"{account}={KEY}" for account in (1, 2, 3)],
        "relay_batch_event_data": {
            "1": {"batchMinSize": 500, "batchUploadTimeInterval": 30_000},
            "2": {"EventsPerRequest": 5},
        },
        "relay_request_time_interval": 45,
    }
    with relaying(redis_url, accounts={account: [KEY] for account in "123"}, **settings) as relay:
        for account in "123":
            assert relay.post(FME.replace("888888", account), ONE).status == 200

    found = limits(redis_url)
    assert {name: (each.events_per_request, each.interval_ms) for name, each in found.items()} == {
        "1": (500, 30_000),
        "2": (5, 600_000),
        "3": (100, 45_000),
    }


def test_the_relay_that_registers_last_decides_for_all(redis_url: str) -> None:
    """Two relays that differ share each queue: none loses events, and the doctor (VC127) names them."""
    with (
        relaying(redis_url, relay_events_per_request=5) as one,
        relaying(redis_url, relay_events_per_request=7) as other,
    ):
        sizes = []
        for relay in (one, other, one):
            assert relay.post(FME, ONE).status == 200
            sizes.append(limits(redis_url)["888888"].events_per_request)

    assert sizes == [5, 7, 7]  # the first relay registers no second time
    assert len(all_stored(redis_url)) == 3
