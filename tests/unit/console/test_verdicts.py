"""Verdicts, trends and gaps: what pages conclude from numbers, without a Redis."""

from __future__ import annotations

from vwo_celery.console.pages.past import pictures_of, stretch_of
from vwo_celery.console.pages.trends import trend_of
from vwo_celery.console.pages.verdicts import judge
from vwo_celery.operating.doctor.finding import ok, problem, warn
from vwo_celery.operating.past.history import Step

MINUTE_MS = 60_000


def step(minute: int, seconds: float = 60.0, **numbers: object) -> Step:
    """A step that ends at a minute."""
    counted = {"accepted": 600, "delivered": 540, "dropped": 0, "refused": 0, **numbers}
    held = {"dead": 0, "undelivered": 50, "bytes": 500, "oldest_seconds": 4.0, "stopped": False}
    return Step(at_ms=minute * MINUTE_MS, seconds=seconds, **{**held, **counted})  # type: ignore[arg-type]


def test_the_worst_is_told_first_and_what_keeps_events_before_what_may() -> None:
    """A queue that stands still comes before a setting that matters at the next restart."""
    found = judge(
        [
            ok("redis", "8.2.3"),
            warn("VC631", "6 events", "decide"),
            problem("VC235", "Redis keeps nothing over a restart", "CONFIG SET appendonly yes"),
            problem("VC612", "paused", "resume it"),
        ],
        [],
    )

    assert [each.id for each in found.troubles] == ["VC612", "VC235", "VC631"]
    assert (found.level, len(found.fine)) == ("problem", 1)
    assert found.troubles[0].remedy == "resume it"
    assert found.sentence.startswith("2 problems and 1 warning; ")


def test_nothing_wrong_is_said_to_be_well() -> None:
    """Without queues the page says what comes next; a warning alone does not say that events are late."""
    assert judge([ok("redis", "8.2.3")], []).title == "Ready for the first event"
    assert "deserves a look" in judge([warn("VC631", "6 events", "decide")], []).title


def test_a_rate_is_told_against_the_time_before() -> None:
    """Each rate says how it was before, and each number how much it grew."""
    steps = [step(n, accepted=6_000, undelivered=50) for n in range(57)]
    steps += [step(n, accepted=600, undelivered=80) for n in range(57, 60)]

    trend = trend_of(steps)

    assert trend.accepted_a_second == 10.0
    assert trend.accepted_against == "▼ 100 a second in the 57 min before"
    assert trend.undelivered_against == "▲ 30 undelivered in 15 min"
    assert trend.dead_against == "unchanged in 15 min"


def test_nothing_is_compared_that_is_not_known() -> None:
    """Without samples, or where the counters began anew, there is no rate."""
    assert trend_of([]).accepted_against == ""
    assert trend_of([step(1, accepted=None), step(2, accepted=None)]).accepted_a_second is None


def test_missing_samples_are_a_gap_in_every_chart() -> None:
    """A step that is longer than usual is no long line: nothing is drawn where nothing is known."""
    steps = [step(1), step(2), step(3), step(7, seconds=240), step(8)]

    pictures = pictures_of(stretch_of(steps))

    for picture in pictures[:3]:
        assert picture.at_ms == tuple(int(n * MINUTE_MS) for n in (1, 2, 3, 5, 7, 8))
        assert [value is None for value in picture.lines[0].values] == [
            False, False, False, True, False, False,
        ]  # fmt: skip


def test_the_running_minute_is_a_step_of_its_own() -> None:
    """What has not ended is drawn dashed, up to now."""
    found = stretch_of([step(1), step(2)], step(2, seconds=20))
    later = stretch_of([step(1), step(2)], step(3, seconds=20))

    assert (found.running, later.running) == (False, True)
    assert pictures_of(later)[0].running


def test_ages_at_delivery_stand_beside_the_oldest_that_waits() -> None:
    """Ages of what was delivered go quiet when nothing is; the oldest event that waits does not."""
    ages = (0,) * 3 + (10,) + (0,) * 11
    steps = [step(1, ages=ages), step(2, ages=(0,) * 15, oldest_seconds=300.0)]

    picture = pictures_of(stretch_of(steps), interval_seconds=5.0)[2]

    assert [line.name for line in picture.lines] == [
        "oldest waiting", "at delivery, p50", "at delivery, p95",
    ]  # fmt: skip
    assert [picture.last(line) for line in picture.lines] == [300.0, None, None]
    assert picture.limit is not None
    assert picture.limit.value == 5.0


def test_a_chart_of_a_long_time_has_no_more_steps_than_one_can_tell_apart() -> None:
    """90 days are drawn in fewer than a hundred steps."""
    found = stretch_of([step(n) for n in range(2_160)])

    assert len(found.steps) <= 97
    assert found.at_ms[-1] == 2_159 * MINUTE_MS
