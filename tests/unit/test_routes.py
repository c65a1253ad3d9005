"""What the notes on task messages say: which are lost, whether to find out, how long they wait."""

from __future__ import annotations

import pytest

from vwo_celery.queue.routes import Route, lost_until, probe_is_due, routes_of, wait_seconds

NOW = 1_000_000_000
SECOND = 1_000


def route(published: int, started: int, waited: int = 0) -> Route:
    """A route whose notes are so many milliseconds old."""
    return Route(NOW - published, NOW - started, waited)


def test_routes_are_read_from_the_pulse() -> None:
    """Each route has its three notes; other signs of life are none, and a missing note is 0."""
    notes = {
        "beat": 5, "task": 7, "published:a@1": NOW, "started:a@1": NOW - 9, "waited:a@1": 3,
        "published:b@2": NOW - 1,
    }  # fmt: skip

    assert routes_of(notes) == [Route(NOW, NOW - 9, 3), Route(NOW - 1, 0, 0)]


def test_a_route_that_is_no_longer_used_does_not_count() -> None:
    """A Celery queue that was renamed holds up nothing, though its last message never started."""
    notes = {"published:new@1": NOW, "published:old@1": NOW - 60 * SECOND, "started:new@1": NOW}

    assert routes_of(notes) == [Route(NOW, NOW, 0)]
    assert len(routes_of({"published:old@1": NOW - 600 * SECOND})) == 1


def test_only_wake_ups_before_the_newest_that_started_are_lost() -> None:
    """Messages come out in the order in which they went in, but for what a moment may mix up."""
    assert lost_until([route(0, 8 * SECOND)]) == NOW - 10 * SECOND


def test_where_no_message_waits_all_are_lost() -> None:
    """If the newest message has started, or none was ever noted, slots alone say what is lost."""
    assert lost_until([route(500, 500)]) > 100 * NOW
    assert lost_until([]) > 100 * NOW


def test_before_the_first_start_none_is_lost() -> None:
    """As long as no task has started, every message may still wait."""
    assert lost_until([Route(NOW, 0, 0)]) == 0


def test_the_slowest_route_counts() -> None:
    """With two Celery queues a message may wait in the one whose lanes are busy."""
    busy, idle = route(0, 60 * SECOND), route(2, 2)

    assert lost_until([idle, busy]) == NOW - 62 * SECOND


@pytest.mark.parametrize(
    ("published", "started", "due"),
    [
        (2 * SECOND, 2 * SECOND, False),  # none waits
        (2 * SECOND, 3 * SECOND, False),
        (4 * SECOND, 5 * SECOND, True),
        (20 * SECOND, 60 * SECOND, False),  # 40 s between them: it may be that many are before it
        (41 * SECOND, 81 * SECOND, True),
        (59 * SECOND, 3_600 * SECOND, False),
        (61 * SECOND, 3_600 * SECOND, True),
        (-9 * SECOND, 0, True),  # Redis' clock stepped back
    ],
)
def test_looking_for_lost_messages_grows_rarer(published: int, started: int, due: bool) -> None:
    """Where nothing starts, one message is sent after 3 s, and each after twice that, up to a minute."""
    assert probe_is_due([route(published, started)], NOW) is due


def test_looking_adds_few_messages() -> None:
    """In an hour in which every lane is busy, about one message a minute is added, not one a sweep."""
    published, added = 0, 0
    for now in range(0, 3_600 * SECOND, SECOND):
        if probe_is_due([Route(NOW + published, NOW - 1, 0)], NOW + now):
            published, added = now, added + 1

    assert 50 < added < 70


def test_the_wait_of_messages() -> None:
    """Messages wait as long as the last one did, or as long as the newest does by now."""
    assert wait_seconds([], NOW) == 0
    assert wait_seconds([route(0, 0, waited=9 * SECOND)], NOW) == 0  # none waits any more
    assert wait_seconds([route(0, 20 * SECOND, waited=12 * SECOND)], NOW) == 12
    assert wait_seconds([route(7 * SECOND, 900 * SECOND, waited=12 * SECOND)], NOW) == 7
    assert wait_seconds([route(200 * SECOND, 900 * SECOND)], NOW) == 0  # lost, and nothing is due
