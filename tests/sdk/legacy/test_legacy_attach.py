"""attach on a legacy client: its decisions, its events and its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import vwo_celery
from vwo_celery.errors import SdkError
from vwo_celery.sdk.hook import hook_of
from vwo_celery.testing import wait_for

pytestmark = pytest.mark.declared_keys("watched")

DEAD_REDIS = "redis://127.0.0.1:1/0"
FIRST_KEY, SECOND_KEY = "k" * 32, "m" * 32
VARIATION = "Variation-1"
PROCESS_TIMEOUT_SECONDS = 30


def lasting_threads():
    """The threads that would keep the process from ending."""
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]


# --- destination and batches ----------------------------------------------------------------------


def test_without_an_override_events_go_to_vwo(launch, monkeypatch):
    """The host is the SDK's own, read when the client is attached; base_url overrides it."""
    from vwo.constants import constants

    client = launch()
    monkeypatch.undo()
    assert constants.HTTPS_PROTOCOL == "https://"

    queue = vwo_celery.attach(client)
    elsewhere = vwo_celery.attach(client, base_url="https://collect.example")

    assert queue.destination.origin == "https://dev.visualwebsiteoptimizer.com"
    assert elsewhere.destination.origin == "https://collect.example"


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (None, {}, (100, 600)),
        ({"request_time_interval": 1.5}, {}, (100, 1.5)),
        ({"events_per_request": 7, "request_time_interval": 9}, {}, (7, 9)),
        ({"events_per_request": 7}, {"batch_event_data": {"events_per_request": 8}}, (8, 600)),
    ],
)
def test_batch_options_are_the_arguments_else_the_clients_else_the_vendors(
    own, given, expected, launch
):
    """Without batch_event_data, attach uses the client's own options; without those, 100 and 600."""
    client = launch(batch_events=own)

    batches = [vwo_celery.attach(client, **given).batch, vwo_celery.attach(client).batch]

    assert [(b.events_per_request, b.request_time_interval) for b in batches] == [expected] * 2


def test_the_clients_own_flush_callback_is_the_queues(launch):
    """A callback is stored by its import path, since workers call it; a lambda is refused and logged."""
    named = launch(batch_events={"events_per_request": 5, "flush_callback": json.dumps})
    unnamed = launch(batch_events={"events_per_request": 5, "flush_callback": lambda *_: None})

    assert vwo_celery.attach(named).batch.flush_callback == "json:dumps"
    assert vwo_celery.attach(unnamed).batch.flush_callback == ""


def test_two_clients_with_two_accounts_route_apart(launch, redis_url, standin, worker):
    """Each account's events go under its own key and region, although the SDK keeps only one region."""
    first = launch(changed={"accountId": 1, "sdkKey": FIRST_KEY, "collectionPrefix": "eu01"})
    vwo_celery.attach(first, redis_url=redis_url)
    second = launch(changed={"accountId": 2, "sdkKey": SECOND_KEY})
    vwo_celery.attach(second, redis_url=redis_url)

    first.activate("ab_full", "user-1")
    second.push("plan", "gold", "user-2")
    assert first.flush_events()
    assert second.flush_events()

    sent = [(r.path, r.query["a"], r.query["env"], len(r.events)) for r in standin.requests]
    assert sent == [
        ("/eu01/server-side/batch-events", "1", FIRST_KEY, 1),
        ("/server-side/batch-events", "2", SECOND_KEY, 1),
    ]


def test_an_opted_out_client_is_refused(launch):
    """An opted-out client is refused: it tracks nothing any more."""
    client = launch()
    client.set_opt_out()

    with pytest.raises(SdkError, match="opted out"):
        vwo_celery.attach(client)


# --- taking over ---------------------------------------------------------------------------------


def test_events_that_the_sdks_own_queue_holds_are_moved(launch, redis_url, standin, worker):
    """Events tracked before attach leave once, through the shared queue; the SDK's timer is gone."""
    client = launch()
    client.activate("ab_full", "user-1")
    client.track("ab_full", "user-1", "signup")

    vwo_celery.attach(client, redis_url=redis_url)
    timers = lasting_threads()
    client.push("plan", "gold", "user-1")
    result = client.flush_events()

    assert timers == []
    assert result
    assert [event["eT"] for event in standin.events] == [1, 2, 3]


@pytest.mark.declared_keys("wakeups", "batch", "info", "ready", "slots")
@pytest.mark.parametrize("batch_events", [{"events_per_request": 1}, None])
@pytest.mark.parametrize("event_arch", [False, True])
def test_the_sdk_itself_sends_nothing_after_attach(
    batch_events, event_arch, launch, redis_url, standin
):
    """All events leave through the queue only: without a worker, no request reaches VWO."""
    client = launch(batch_events=batch_events, changed={"isEventArchEnabled": event_arch})
    vwo_celery.attach(client, redis_url=redis_url)

    assert client.activate("ab_full", "user-1") == VARIATION
    assert client.is_feature_enabled("feature_rollout", "user-1")
    assert client.track("ab_full", "user-1", "purchase", revenue_value=5) == {"ab_full": True}
    assert client.push({"plan": "gold", "tier": "1"}, "user-1")
    result = client.flush_events(mode="async")

    assert standin.requests == []
    assert lasting_threads() == []
    assert (result.pending, bool(result)) == (5, False)
    assert "no worker listens" in result.reason


def test_set_opt_out_has_what_is_queued_sent(launch, redis_url, standin, worker):
    """Opting out flushes without waiting; afterwards nothing is tracked and nothing flushed."""
    client = launch()
    queue = vwo_celery.attach(client, redis_url=redis_url)
    client.activate("ab_full", "user-1")

    assert client.set_opt_out() is True

    assert client.activate("ab_full", "user-2") is None
    assert not client.flush_events()
    wait_for(lambda: standin.batches, what="the flushed batch")
    assert len(standin.batches[0].events) == 1
    assert vwo_celery.queue_of(client) is queue


def test_development_mode_sends_nothing(launch, redis_url, worker):
    """In development mode, decisions are made and nothing is enqueued."""
    client = launch(is_development_mode=True)
    vwo_celery.attach(client, redis_url=redis_url)

    assert client.activate("ab_full", "user-1") == VARIATION

    assert worker.fleet.registrations().readable == {}


# --- the visitor comes first ---------------------------------------------------------------------


def test_a_dead_redis_costs_the_visitor_nothing(launch):
    """Without Redis the variation is decided, and the events wait on the host's disk."""
    client = launch()
    queue = vwo_celery.attach(client, redis_url=DEAD_REDIS)

    assert client.activate("ab_full", "user-1") == VARIATION
    assert client.is_feature_enabled("feature_test", "user-1") is True
    assert client.track("ab_full", "user-1", "signup") == {"ab_full": True}
    assert not client.flush_events()

    assert (queue.dropped, queue.spooled()) == ({}, 3)


def test_a_failure_of_the_queue_is_logged_once_counted_and_never_raised(launch, caplog):
    """The variation is the one that VWO decided, whatever the queue or the event builder raises."""
    client = launch()
    queue = vwo_celery.attach(client)

    def broken(*arguments, **keywords):
        raise RuntimeError("broken on purpose")

    queue.enqueue = queue.flush_events = broken
    assert client.activate("ab_full", "user-1") == VARIATION
    assert client.flush_events().reason == "RuntimeError: broken on purpose"
    client.event_dispatcher.build_event_payload = broken
    assert client.activate("ab_full", "user-2") == VARIATION

    assert hook_of(client).failures == 3
    assert len([record for record in caplog.records if record.name == "vwo_celery.sdk"]) == 1


# --- processes -----------------------------------------------------------------------------------


def test_after_a_fork_parent_and_children_track_and_nothing_is_lost_or_doubled(
    launch, redis_url, standin, worker
):
    """As under gunicorn --preload: attached before the fork; used before it, in children and after it."""
    client = launch()
    vwo_celery.attach(client, redis_url=redis_url)

    def track(who):
        for number in range(25):
            client.push("seen", f"{who}-{number}", "user-1")

    track("before")
    children = []
    for child in range(3):
        pid = os.fork()
        if pid == 0:
            track(f"child-{child}")
            os._exit(0)
        children.append(pid)
    track("parent")
    codes = [os.waitpid(pid, 0)[1] for pid in children]
    result = client.flush_events()

    assert codes == [0, 0, 0]
    assert result
    assert [len(batch.events) for batch in standin.batches] == [100, 25]
    tags = [event["t"] for event in standin.events]
    assert len(tags) == len(set(tags)) == 125


@pytest.mark.declared_keys("open")
def test_a_process_that_only_tracked_ends_by_itself(capture, redis_url, worker, tmp_path):
    """The SDK's timer of 600 seconds is gone; events tracked before and after attach are in Redis."""
    code = """
        import os, vwo, vwo_celery
        client = vwo.launch(os.environ["SETTINGS"], batch_events={"request_time_interval": 600})
        client.activate("ab_full", "user-1")
        vwo_celery.attach(client, redis_url=os.environ["REDIS_URL"])
        client.activate("ab_full", "user-2")
    """
    environment = {"SETTINGS": json.dumps(capture("settings_legacy")), "REDIS_URL": redis_url}

    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env={**os.environ, **environment},
        check=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
    )

    [shard] = worker.fleet.watched()
    assert worker.fleet.client.llen(shard.keys.open) == 2
