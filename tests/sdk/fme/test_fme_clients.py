"""Several FME clients in one process: another key is reported, the same key shares the queue."""

from __future__ import annotations

import pytest

from sdk.fme.attached import names

pytestmark = pytest.mark.declared_keys("watched")

SECOND_KEY = "c" * 32
SECOND_CLIENT = """
import vwo
first = vwo.init(OPTIONS)
vwo_celery.attach(first, redis_url=REDIS_URL)
second = vwo.init({**OPTIONS, "sdk_key": F["second_key"]})
"""


def test_a_second_client_with_another_key_is_reported(application):
    """A second client with another key is reported, keys masked: the SDK would mix up their events."""
    told = application(
        SECOND_CLIENT, "vwo_celery.attach(second, redis_url=REDIS_URL)\n", second_key=SECOND_KEY
    )

    assert "more than one VWO FME client in this process" in told.log
    assert "key …bbbb" in told.log
    assert "key …cccc" in told.log
    assert SECOND_KEY not in told.log


def test_a_second_client_with_another_key_is_an_error_with_strict(application):
    """With strict, a second client with another key is refused as a whole."""
    told = application(
        SECOND_CLIENT,
        """
        try:
            vwo_celery.attach(second, strict=True)
        except vwo_celery.errors.SdkError as exc:
            tell(error=str(exc), untouched=second.batch_event_queue is None)
        os._exit(0)
        """,
        second_key=SECOND_KEY,
    )

    assert "one process for each SDK key" in told.facts["error"]
    assert told.facts["untouched"]


@pytest.mark.declared_keys("open")
def test_a_second_client_that_nobody_attaches_is_reported_at_its_first_event(application):
    """An unattached second client is reported once, at its first event, which uses the first's queue."""
    told = application(
        SECOND_CLIENT,
        """
        second.track_event("purchase", USER)
        second.track_event("purchase", USER)
        os._exit(0)
        """,
        second_key=SECOND_KEY,
    )

    assert told.log.count("more than one VWO FME client in this process") == 1


def test_a_second_client_with_the_same_key_shares_the_queue(application, standin, worker):
    """A second client with the same key shares the queue: the SDK enqueues through its first client."""
    told = application(
        """
        import vwo
        first, second = vwo.init(OPTIONS), vwo.init(OPTIONS)
        vwo_celery.attach(second, redis_url=REDIS_URL)
        second.track_event("purchase", USER)
        first.track_event("revenueEvent", USER)
        tell(whole=bool(second.flush_events()))
        """,
        options={"batch_event_data": {"request_time_interval": 600}},
    )

    assert told.facts == {"whole": True}
    assert names(standin.events) == ["purchase", "revenueEvent"]
    assert "more than one" not in told.log


@pytest.mark.declared_keys("open")
def test_clients_that_follow_each_other_share_one_connection(application):
    """A process that inits again and again, as tests and reloaded settings do, opens one connection."""
    told = application(
        """
        from vwo_celery.producing.queue import producer_of
        redis_clients = []
        for _ in range(5):
            client = vwo_celery.init(OPTIONS, redis_url=REDIS_URL)
            client.track_event("purchase", USER)
            redis_clients.append(producer_of(vwo_celery.queue_of(client)).fleet.client)
        tell(different=len(set(map(id, redis_clients))))
        """
    )

    assert told.facts == {"different": 1}
