"""A shadow of a legacy client: the SDK goes on by itself, and both sides count the same events."""

from __future__ import annotations

import pytest

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
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys("shadow")

MODES = pytest.mark.parametrize(
    "batch", [{"events_per_request": 100}, None], ids=["batching", "single"]
)
CALLS = [
    ("activate", ["ab_full", "user-1"], {"user_agent": "Mozilla", "user_ip_address": "203.0.113.7"}),
    ("is_feature_enabled", ["feature_test", "user-2"], {}),
    ("track", ["ab_full", "user-1", "signup"], {}),
    ("track", ["ab_full", "user-1", "purchase"], {"revenue_value": 49.99}),
    ("push", ["ville", "Zürich \U0001f600 \"x\"", "usér-1"], {}),
    ("push", [{"plan": "gold", "team": "blue"}, "user-3"], {}),
]  # fmt: skip
ROWS = {
    "activate 101": 1, "activate 102": 1, "track 101 goal 201": 1, "track 101 goal 202": 1, "push": 3,
}  # fmt: skip
KINDS = ["activate", "track", "push"]
START = """
client = vwo.launch(SETTINGS, batch_events=F.get("batch"))
if F.get("shadowed", True):
    vwo_celery.shadow(client, redis_url=REDIS_URL)

def call(*calls):
    for method, arguments, keywords in calls:
        assert getattr(client, method)(*arguments, **keywords)

def finish():
    client.flush_events(mode="sync")
"""


@MODES
def test_both_sides_count_the_same(batch, application, redis_url, standin):
    """Every event of every kind is counted where the SDK sends it and where our hook is."""
    application(START, RUN, batch=batch, calls=CALLS)

    assert agreed(redis_url, len(standin.events) + len(standin.event_gets)) == ROWS


@MODES
def test_the_sdks_own_requests_are_the_same_bytes(batch, application, standin):
    """A shadowed SDK sends what it sends without a shadow: lines, headers and bodies."""
    check_same_bytes(application, standin, START, RUN, batch=batch, calls=CALLS)


@pytest.mark.parametrize("missed", KINDS)
@MODES
def test_a_kind_that_the_hook_misses_is_found(batch, missed, application, redis_url):
    """If the hook does not see one kind of events, just their rows differ, and it exits 1."""
    application(
        START,
        """
        from vwo_celery.sdk.shadow_legacy import name_of
        def seen(event):
            return None if name_of(event)[0] == F["missed"] else event
        """,
        HOOK_SEES, RUN,
        batch=batch, calls=CALLS, missed=missed,
    )  # fmt: skip

    check_differing(redis_url, {missed})


@MODES
def test_other_contents_are_found(batch, application, redis_url):
    """As many events with other contents, such as a revenue, are no agreement."""
    application(
        START,
        """
        def seen(event):
            return {**event, "r": 50}
        """,
        HOOK_SEES, RUN,
        batch=batch, calls=CALLS[3:4],
    )  # fmt: skip

    check_other_contents(redis_url)


def test_forked_processes_are_counted_together(application, redis_url, standin):
    """Children tell their own counts; what their SDK inherited and sends again is told apart."""
    batch = {"events_per_request": 100}
    application(START, FORKS, RUN, batch=batch, calls=CALLS, before=CALLS[:1])

    check_forks(redis_url, "activate 101", len(standin.events))


@MODES
def test_what_vwo_refuses_is_told_apart(batch, application, redis_url):
    """The SDK loses what VWO does not take; that is no difference between the two sides."""
    call = """
    for method, arguments, keywords in F["calls"]:
        getattr(client, method)(*arguments, **keywords)
    finish()
    """
    with Standin(accounts={"1": "of somebody else"}) as standin:
        application(START, call, batch=batch, calls=CALLS[4:5], netloc=standin.netloc)

    found = report(redis_url)

    assert (found["verdict"], numbers(found)) == ("same", {"push": (0, 1, 0, 1)})


def test_development_mode_counts_nothing(application, redis_url, standin):
    """Nothing is sent and nothing would be enqueued."""
    application(
        START.replace("batch_events=", "is_development_mode=True, batch_events="),
        """
        call(*F["calls"])
        """,
        calls=CALLS,
    )

    assert "nothing was counted" in report(redis_url, exit_code=1)["error"]
    assert standin.requests == []


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({}, "vwo_celery.shadow(client); vwo_celery.attach(client)", "this client is shadowed"),
        ({}, "vwo_celery.attach(client); vwo_celery.shadow(client)", "this client is attached"),
        ({}, "client.set_opt_out(); vwo_celery.shadow(client)", "opted out"),
        ({"isEventArchEnabled": True}, "vwo_celery.shadow(client)", "isEventArchEnabled"),
    ],
)
def test_what_cannot_be_shadowed_is_refused(changed, code, words, application, settings):
    """The error says why, and the client works as it did."""
    settings.update(changed)
    told = application(
        "client = vwo.launch(SETTINGS)\n",
        REFUSED,
        code=code,
    )

    assert words in told.facts["error"]


def test_threads_lose_no_count(application, redis_url, standin):
    """Eight threads that track while batches leave are counted to the event, on both sides."""
    application(
        START,
        """
        import threading
        def track():
            for _ in range(50):
                call(F["calls"][0])
        threads = [threading.Thread(target=track) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        finish()
        """,
        batch={"events_per_request": 7}, calls=CALLS,
    )  # fmt: skip

    found = report(redis_url)

    assert numbers(found) == {"activate 101": (400, 0, 0, 400)}
