"""A shadow of an FME client: the SDK goes on by itself, and both sides count the same events."""

from __future__ import annotations

import pytest

from sdk.fme.scenarios import FULL, SHORT
from sdk.shadows import (
    FORKS,
    HOOK_SEES,
    REFUSED,
    RUN,
    agreed,
    check_differing,
    check_forks,
    check_other_contents,
    check_same_bytes,
    numbers,
    report,
)

pytestmark = pytest.mark.declared_keys("shadow")

BATCHING = {"batch_event_data": {"events_per_request": 100, "request_time_interval": 600}}
MODES = pytest.mark.parametrize("options", [BATCHING, {}], ids=["batching", "single"])
CALLS = [
    ("get_flag", "checkout", FULL),
    ("track_event", "purchase", SHORT, {"price": 1, "où": "Zürich \U0001f600"}),
    ("track_event", "revenueEvent", SHORT, {"amount": 12.5}),
    ("set_attribute", {"tier": "gold", "ratio": 0.1}, SHORT),
]
KINDS = ["vwo_variationShown", "purchase", "revenueEvent", "vwo_syncVisitorProp"]
START = """
import threading, vwo
client = vwo.init(OPTIONS)
if F.get("shadowed", True):
    vwo_celery.shadow(client, redis_url=REDIS_URL)

def call(*calls):
    for method, *arguments in calls:
        getattr(client, method)(*arguments)

def finish():
    # Lets the SDK's threads send, and ends its timers, which would keep the process.
    client.flush_events()
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            # A thread of a pool never ends while the pool lives.
            import concurrent.futures.thread as pools
            pools._threads_queues[thread].put(None)
            thread.join()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()
"""


@MODES
def test_both_sides_count_the_same(options, application, redis_url, standin):
    """Every event of every kind is counted where the SDK sends it and where our hook is."""
    application(START, RUN, options=options, calls=CALLS)

    sent = agreed(redis_url, len(standin.events) + len(standin.singles))

    assert {kind.split()[0] for kind in sent} == set(KINDS)


@MODES
def test_the_sdks_own_requests_are_the_same_bytes(options, application, standin):
    """A shadowed SDK sends what it sends without a shadow: lines, headers and bodies."""
    check_same_bytes(application, standin, START, RUN, options=options, calls=CALLS)


@pytest.mark.parametrize("missed", KINDS)
@MODES
def test_a_kind_that_the_hook_misses_is_found(options, missed, application, redis_url):
    """If the hook does not see one kind of events, just their rows differ, and it exits 1."""
    application(
        START,
        """
        def seen(event):
            return None if event["d"]["event"]["name"] == F["missed"] else event
        """,
        HOOK_SEES, RUN,
        options=options, calls=CALLS, missed=missed,
    )  # fmt: skip

    check_differing(redis_url, {missed})


def test_other_contents_are_found(application, redis_url):
    """As many events with other contents are no agreement."""
    application(
        START,
        """
        def seen(event):
            return {"d": {**event["d"], "visId": "somebody else"}}
        """,
        HOOK_SEES, RUN,
        options=BATCHING, calls=CALLS[1:2],
    )  # fmt: skip

    check_other_contents(redis_url)


def test_forked_processes_are_counted_together(application, redis_url, standin):
    """Children tell their own counts; what their SDK inherited and sends again is told apart."""
    application(START, FORKS, RUN, options=BATCHING, calls=CALLS, before=CALLS[1:2])

    check_forks(redis_url, "purchase", len(standin.events))


def test_what_waits_in_memory_is_under_way(application, redis_url, standin):
    """A process that is killed leaves counts that agree, and tells what went with it."""
    application(
        START,
        """
        import redis
        from vwo_celery.testing import wait_for
        call(*F["calls"])
        server = redis.Redis.from_url(REDIS_URL)
        wait_for(lambda: server.exists("vwo:1:shadow"), 20)
        os._exit(0)
        """,
        options=BATCHING, calls=CALLS[1:],
    )  # fmt: skip

    found = report(redis_url)

    assert found["verdict"] == "same so far"
    assert numbers(found)["purchase"] == (0, 0, 1, 1)
    assert (found["held_running"], found["running"]) == (3, 1)
    assert standin.events == []


@pytest.mark.parametrize(("options", "kept"), [(BATCHING, True), ({}, False)])
def test_what_vwo_refuses_is_told_apart(options, kept, application, redis_url, standin):
    """The SDK keeps a batch that fails, and loses a single event; neither is a difference."""
    standin.fail(400)
    standin.fail_singles(400)
    application(START, RUN, options=options, calls=CALLS[1:2])

    found = report(redis_url)

    assert numbers(found)["purchase"] == ((0, 0, 1, 1) if kept else (0, 1, 0, 1))


def test_events_before_the_shadow_count_as_seen(application, redis_url):
    """What the SDK holds when it is shadowed is what attach would take over."""
    application(
        """
        OPTIONS["batch_event_data"] = {"events_per_request": 100, "request_time_interval": 600}
        import vwo
        first = vwo.init(OPTIONS)
        first.track_event("purchase", USER)
        """,
        START.replace("vwo.init(OPTIONS)", "first"),
        RUN,
        calls=[],
    )  # fmt: skip

    assert numbers(report(redis_url)) == {"purchase": (1, 0, 0, 1)}


def test_after_a_reset_processes_go_on_from_zero(application, redis_url):
    """What was held at the reset is counted once it is sent, on both sides."""
    application(
        START,
        """
        from vwo_celery.producing.shadowing import _shadowers
        from vwo_celery.queue.fleet import Fleet
        [shadower] = _shadowers
        call(F["calls"][0], F["calls"][1])
        shadower.tell()
        import subprocess
        subprocess.run([sys.executable, "-m", "vwo_celery", "--redis-url", REDIS_URL,
                        "shadow-report", "--reset"], check=True, stdout=subprocess.DEVNULL)
        call(F["calls"][2])
        """,
        RUN,
        options=BATCHING, calls=CALLS,
    )  # fmt: skip

    found = report(redis_url)

    assert found["verdict"] == "same"
    assert numbers(found)["revenueEvent"] == (2, 0, 0, 2)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("vwo_celery.shadow(client); vwo_celery.attach(client)", "this client is shadowed"),
        ("vwo_celery.attach(client); vwo_celery.shadow(client)", "this client is attached"),
        (
            "vwo_celery.attach(client); vwo_celery.shadow(vwo.init(OPTIONS))",
            "first client of this process, whose queue the SDK uses, is attached",
        ),
        ("vwo_celery.shadow(None)", "shadow takes the client"),
        ("client.options['isDevelopmentMode'] = True; vwo_celery.shadow(client)", "development mode"),
    ],
)  # fmt: skip
def test_what_cannot_be_shadowed_is_refused(code, words, application):
    """The error says why, and the client works as it did."""
    told = application(
        """
        import vwo
        client = vwo.init(OPTIONS)
        """,
        REFUSED,
        "os._exit(0)\n",
        code=code,
    )

    assert words in told.facts["error"]


def test_a_redis_that_is_away_changes_nothing(application, standin):
    """The SDK sends as it does, and nothing is raised."""
    application(START, RUN, options=BATCHING, calls=CALLS, redis_url="redis://127.0.0.1:1/0")

    assert len(standin.events) >= len(CALLS)
