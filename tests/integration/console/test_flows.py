"""Where events are, in numbers and charts of the console: nothing is told that is not known."""

from __future__ import annotations

import msgspec
import pytest

from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.console.pages.flows import flow_of
from vwo_celery.console.pages.trends import Trend
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.operating.past.history import Step, view_running
from vwo_celery.queue.records.histories import sample

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


def test_a_rate_says_of_how_long(queues: Queues) -> None:
    """A rate stands beside the time that it is of, which is another one than its comparison's."""
    view = queues.view(queues.add())

    accepted, *_, delivered = flow_of(
        [view], None, Trend(accepted_a_second=2.5, delivered_a_second=1.0)
    ).way

    assert accepted.about == "2.5 a second came in the last 3 min"
    assert delivered.about.startswith("1 a second left in the last 3 min")


def test_the_next_try_is_not_before_a_probe_is_due(queues: Queues) -> None:
    """Where only probes are sent, a batch that is due waits for the next one."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.release(queue, "HTTP 503", delay_seconds=0.0)
    view = msgspec.structs.replace(queues.view(queue), next_try_seconds=0.0, held_seconds=26.0)

    (released, *_) = flow_of([view], None, Trend()).beside

    assert released.about == "next try in 26 s"


def test_what_was_delivered_at_a_time_that_is_not_known_is_not_none(queues: Queues) -> None:
    """A number of delivered events does not stand beside the words that there are none."""
    queue = queues.add()
    queues.fill(queue, 5)
    none = queues.view(queue)
    queues.deliver(queue)
    some = msgspec.structs.replace(queues.view(queue), delivered_age_seconds=None)

    places = [flow_of([view], None, Trend()).way[-1] for view in (none, some)]

    assert [(each.number, each.about) for each in places] == [(0, "none so far"), (5, "")]


def test_what_was_refused_is_not_told_as_if_nothing_was_lost(queues: Queues) -> None:
    """Where nothing was dropped, events that a full queue refused are told beside that."""
    view = queues.view(queues.add())
    full = msgspec.structs.replace(view, refused=3)

    places = [flow_of([each], None, Trend()).beside[-1] for each in (view, full)]

    assert [each.about for each in places] == [
        "none of those that were accepted",
        "none of those that were accepted; 3 never accepted, since the queue was full",
    ]


def running(queues: Queues) -> Step | None:
    """The step of all queues that has not ended."""
    views = view_queues(queues.fleet, queues.registered)
    return view_running(queues.fleet, queues.registered, views, queues.fleet.now_ms())


def test_charts_end_with_what_came_since_the_last_sample(queues: Queues) -> None:
    """The minute that is running is drawn from the last sample up to now, and not before there is one."""
    queue = queues.add()
    queues.fill(queue, 3)
    before = running(queues)
    sample(queues.fleet, [queues.shard(queue)])
    queues.fill(queue, 4)

    after = running(queues)

    assert before is None
    assert after is not None
    assert (after.accepted, after.delivered, after.undelivered) == (4, 0, 7)
