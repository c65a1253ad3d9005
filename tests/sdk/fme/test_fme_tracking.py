"""An attached FME client at work: visitors come first, one round trip a call, and forks."""

from __future__ import annotations

import json

import pytest

from sdk.fme.attached import ATTACHED, names

pytestmark = pytest.mark.declared_keys("watched")

DEAD_REDIS = "redis://127.0.0.1:1/0"


def test_a_dead_redis_costs_the_visitor_nothing(application):
    """Without Redis the flag is decided, tracking returns, and the events wait on the host's disk."""
    told = application(
        ATTACHED,
        """
        flag = client.get_flag("checkout", USER)
        tell(
            enabled=flag.is_enabled(),
            tracked=client.track_event("purchase", USER),
            flushed=bool(client.flush_events()),
            dropped=dict(queue.dropped), spooled=queue.spooled(),
        )
        """,
        redis_url=DEAD_REDIS,
    )

    assert told.facts == {
        "enabled": True, "tracked": {"purchase": True}, "flushed": False, "dropped": {}, "spooled": 3,
    }  # fmt: skip


def test_a_failure_of_the_queue_is_logged_once_counted_and_never_raised(application):
    """The flag is the one that VWO decided, whatever a queue raises, QueueFull included."""
    told = application(
        ATTACHED,
        """
        from vwo_celery.sdk.hook import hook_of
        def broken(*arguments, **keywords):
            raise RuntimeError("broken on purpose")
        queue.enqueue = queue.enqueue_many = queue.flush_events = broken
        flag = client.get_flag("checkout", USER)
        result = client.flush_events()
        tell(enabled=flag.is_enabled(), failures=hook_of(client).failures, reason=result.reason)
        """,
    )

    assert told.facts == {
        "enabled": True, "failures": 2, "reason": "RuntimeError: broken on purpose",
    }  # fmt: skip
    assert told.log.count("vwo_celery.sdk ERROR") == 1


@pytest.mark.declared_keys("open")
def test_the_events_of_one_get_flag_take_one_round_trip(application, worker):
    """A decision with two events asks Redis once; with one event, too, and a track_event likewise."""
    told = application(
        ATTACHED,
        """
        from redis import Redis
        redis = Redis.from_url(REDIS_URL)

        def scripts(work):
            def run():
                return sum(
                    each["calls"] for name, each in redis.info("commandstats").items()
                    if name.startswith("cmdstat_eval")
                )
            before = run()
            work()
            return run() - before

        client.track_event("purchase", USER)  # registers
        tell(
            flag=scripts(lambda: client.get_flag("checkout", USER)),
            track=scripts(lambda: client.track_event("purchase", USER)),
        )
        """,
    )

    assert told.facts == {"flag": 1, "track": 1}
    [shard] = worker.fleet.watched()
    assert worker.fleet.client.llen(shard.keys.open) == 4


def test_calls_within_calls_and_other_threads_keep_their_events(application, standin, worker):
    """What an integration tracks inside get_flag, or another thread meanwhile, is enqueued as well."""
    told = application(
        """
        import threading, vwo
        called = []
        def callback(properties):
            if called:
                return
            called.append(properties)
            thread = threading.Thread(target=client.track_event, args=("purchase", USER))
            thread.start()
            thread.join()
            client.track_event("revenueEvent", USER)
            client.get_flag("plain_off", USER)
        client = vwo.init({**OPTIONS, "integrations": {"callback": callback}})
        vwo_celery.attach(client, redis_url=REDIS_URL)
        enabled = client.get_flag("checkout", USER).is_enabled()
        tell(enabled=enabled, whole=bool(client.flush_events()))
        """,
    )

    assert told.facts["enabled"]
    assert told.facts["whole"]
    assert sorted(names(standin.events)) == (
        ["purchase", "revenueEvent"] + ["vwo_variationShown"] * 2
    )


def test_after_a_fork_parent_and_children_track_and_nothing_is_lost_or_doubled(
    application, standin, worker
):
    """As under gunicorn --preload: attached before the fork; used before it, in children and after it."""
    told = application(
        ATTACHED,
        """
        def track(who):
            for number in range(25):
                client.track_event("purchase", {"id": f"{who}-{number}"}, {"price": number})

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
        tell(codes=codes, whole=bool(client.flush_events()))
        """,
    )

    assert told.facts == {"codes": [0, 0, 0], "whole": True}
    assert [len(batch.events) for batch in standin.batches] == [100, 25]
    visitors = [json.dumps([event["d"]["visId"], event["d"]["event"]["props"]["price"]])
                for event in standin.events]  # fmt: skip
    assert len(visitors) == 125
    assert len(set(visitors)) == 125
