"""pulse.lua: signs of life, and how far task messages have come."""

from __future__ import annotations

import pytest
import redis as redis_py

from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.routes import Route

ROUTE = "celery@0badcafe"


@pytest.fixture
def fleet(redis: redis_py.Redis) -> Fleet:
    """All queues of a namespace."""
    return Fleet(redis, "vwo")


def test_a_sign_has_redis_own_time(fleet: Fleet) -> None:
    """A sign of life is noted at Redis' time, and nothing else."""
    before = fleet.now_ms()

    noted = fleet.note_sweep("beat")

    assert before <= noted <= fleet.now_ms()
    assert fleet.signs_ms() == {"beat": noted}
    assert fleet.routes() == []


def test_a_message_takes_its_time_along(fleet: Fleet) -> None:
    """Until a task starts with a message, its route has one that waits."""
    published = fleet.note_published(ROUTE)
    waiting, others = fleet.routes(), fleet.others_wait(ROUTE)

    fleet.note_task(ROUTE, published)

    assert (waiting, others) == ([Route(published, 0, 0)], True)
    (route,) = fleet.routes()
    assert (route.published_ms, route.started_ms) == (published, published)
    assert not fleet.others_wait(ROUTE)
    assert fleet.signs_ms()["task"] == published + route.waited_ms


def test_a_late_note_does_not_go_back(fleet: Fleet) -> None:
    """A task that was frozen before it could note its start makes no newer one forgotten."""
    published = fleet.note_published(ROUTE)

    fleet.note_task(ROUTE, published)
    fleet.note_task(ROUTE, published - 5_000)

    assert fleet.routes()[0].started_ms == published
    assert fleet.routes()[0].waited_ms >= 5_000


def test_after_a_step_of_the_clock_notes_are_made_again(fleet: Fleet) -> None:
    """Notes from the time before Redis' clock stepped back are replaced."""
    future = fleet.now_ms() + 1_000_000
    fleet.client.hset(
        fleet.keys.pulse, mapping={f"published:{ROUTE}": future, f"started:{ROUTE}": future}
    )

    published = fleet.note_published(ROUTE)
    fleet.note_task(ROUTE, published)

    (route,) = fleet.routes()
    assert (route.published_ms, route.started_ms) == (published, published)


def test_a_message_of_an_older_release_changes_no_route(fleet: Fleet) -> None:
    """A task without the time of its message notes that it runs, and nothing of its route."""
    fleet.note_task("", 0)
    fleet.note_task(ROUTE, 0)

    assert set(fleet.signs_ms()) == {"task"}
    assert fleet.routes() == []
