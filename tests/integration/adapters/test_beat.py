"""Sweeps that beat sends: how many messages wait without workers, and what each scheduler keeps."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

import pytest
import redis as redis_py
from celery import Celery
from celery.beat import Scheduler
from celery.schedules import schedule

import vwo_celery
from lua.world import LIMITS
from vwo_celery.celery.options import NAMESPACE_HEADER, SWEEP, limits
from vwo_celery.celery.quiet import SweepFilter
from vwo_celery.celery.setup import BEAT_ENTRY
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.work import sweep_messages
from vwo_celery.settings import Settings
from vwo_celery.testing import free_port

HOURS, HOUR_SECONDS = 2, 3_600
#: Options of an entry that django-celery-beat keeps (ModelEntry._unpack_options, 2.9); `expires` and all
#: others are lost.
KEPT_BY_DJANGO = ("queue", "exchange", "routing_key", "priority", "headers")

Make = Callable[..., Celery]


@pytest.fixture
def make(redis_url: str) -> Make:
    """Make an app whose broker is this process."""

    def make_app(**settings: Any) -> Celery:
        app = Celery("project", broker="memory://", set_as_current=False)
        app.conf.task_default_queue = f"q{id(app)}"
        vwo_celery.setup(app, **{"redis_url": redis_url, **settings})
        app.finalize()
        return app

    return make_app


def waiting(app: Celery) -> list[Any]:
    """Take the messages that wait in an app's queue."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        return list(iter(lambda: channel.basic_get(app.conf.task_default_queue, no_ack=True), None))


def send_due(app: Celery, options: tuple[str, ...] | None = None) -> None:
    """Do what beat does when the sweep is due, with the options that a scheduler has kept."""
    scheduler = Scheduler(app)
    entry = scheduler.schedule[BEAT_ENTRY]
    if options is not None:
        entry.options = {name: entry.options[name] for name in options if name in entry.options}
    scheduler.apply_entry(entry)


def pass_time(redis: redis_py.Redis, seconds: float) -> None:
    """Let the last message be older."""
    pulse = Fleet(redis, "vwo").keys.pulse
    if redis.hexists(pulse, "sweep_sent"):
        redis.hincrby(pulse, "sweep_sent", -int(1000 * seconds))


def test_without_workers_few_messages_wait(redis: redis_py.Redis, make: Make) -> None:
    """In hours without workers, beat sends few messages; when one is answered, the next one at once."""
    app = make()
    for _ in range(HOURS * HOUR_SECONDS // sweep_messages.SHORTEST_BEAT_SECONDS):
        send_due(app)
        pass_time(redis, sweep_messages.SHORTEST_BEAT_SECONDS)
    stacked = len(waiting(app))

    sweep_messages.answer(Fleet(redis, "vwo"))
    send_due(app)

    assert 6 * HOURS <= stacked < 10 * HOURS
    assert len(waiting(app)) == 1


def test_an_answer_of_an_older_worker_counts(redis: redis_py.Redis, make: Make) -> None:
    """A worker before 0.2.0 only notes that it swept for beat: that is an answer, too."""
    app = make()
    send_due(app)
    pass_time(redis, 1)
    send_due(app)
    Fleet(redis, "vwo").note_sweep("beat")
    send_due(app)

    assert len(waiting(app)) == 2


def test_a_broker_that_refuses_leaves_no_note(redis: redis_py.Redis, make: Make) -> None:
    """A sweep that the broker did not take is not waited for."""
    app = make()
    fleet = Fleet(redis, "vwo")

    with pytest.raises(ZeroDivisionError):
        app.tasks[SWEEP].apply_async(producer=Refusing())

    assert sweep_messages.may_send(fleet, interval_seconds=10)


class Refusing:
    """A producer of messages whose broker is away."""

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError


def test_beat_sends_although_redis_is_away(make: Make) -> None:
    """Where beat cannot ask Redis, it sends."""
    app = make(redis_url=f"redis://127.0.0.1:{free_port()}/0")

    send_due(app)
    send_due(app)

    assert len(waiting(app)) == 2


@pytest.mark.parametrize(
    ("interval", "seconds"), [(0.2, 10), (1.0, 10), (12.5, 13), (3600.0, 3600)]
)
def test_the_entry_suits_every_scheduler(make: Make, interval: float, seconds: int) -> None:
    """The entry has whole seconds, which django-celery-beat stores, and never expires."""
    app = make(sweep_interval_seconds=interval)
    entry = app.conf.beat_schedule[BEAT_ENTRY]

    assert entry["schedule"] == seconds
    assert type(entry["schedule"]) is int
    assert schedule(seconds).run_every.total_seconds() == seconds
    assert "expires" not in entry["options"]


def test_a_scheduler_may_forget_options(redis: redis_py.Redis, make: Make) -> None:
    """What a scheduler forgets of the entry's options, the task states itself."""
    app = make(celery_queue="events", namespace="shop")
    app.conf.task_default_queue = "events"

    send_due(app, KEPT_BY_DJANGO)
    sweep_messages.answer(Fleet(redis, "shop"))
    send_due(app, ())
    messages = waiting(app)

    assert [message.headers[NAMESPACE_HEADER] for message in messages] == ["shop"] * 2
    assert [message.content_type for message in messages] == ["application/json"] * 2
    expected = [*reversed(limits(Settings()))]
    assert [message.headers["timelimit"] for message in messages] == [expected] * 2


def test_a_sweep_that_comes_late_does_nothing(redis: redis_py.Redis, make: Make) -> None:
    """A sweep right after another one only notes that beat's messages arrive."""
    fleet, settings = Fleet(redis, "vwo"), Settings(sweep_interval_seconds=60)
    fleet.note_sweep("listener")
    (at_ms,) = fleet.last_sweeps_ms().values()

    list(sweep_messages.sweep_if_due(fleet, settings))
    skipped = fleet.last_sweeps_ms()
    fleet.note_sweep("listener", at_ms=at_ms - 31_000)
    fleet.note_sweep("beat", at_ms=at_ms - 31_000)
    list(sweep_messages.sweep_if_due(fleet, settings))

    assert skipped == {"listener": at_ms, "beat": at_ms}
    assert fleet.last_sweeps_ms()["beat"] >= at_ms


@pytest.mark.declared_keys("watched", "open")
@pytest.mark.parametrize(("keeping", "samples"), [("full", 1), ("off", 0)])
def test_a_sweep_samples_the_counters(
    redis: redis_py.Redis, keeping: Literal["full", "off"], samples: int
) -> None:
    """The sweep that beat sends writes each watched queue's history, unless the setting says no."""
    fleet, settings = Fleet(redis, "vwo"), Settings(history=keeping)
    shard = fleet.shard("fme-1-a", 0)
    shard.set_limits(LIMITS)
    fleet.watch(shard.keys.name)
    redis.lpush(shard.keys.open, "{}")

    list(sweep_messages.sweep_if_due(fleet, settings))

    assert redis.xlen(shard.keys.minutes) == samples


# --- logs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "shown"), [(logging.INFO, ["a", f"Sweep {SWEEP} failed", "b"]), (logging.DEBUG, None)]
)
def test_sweeps_are_logged_at_debug_only(level: int, shown: list[str] | None) -> None:
    """Lines of the level INFO about sweeps are shown where DEBUG is; those of failures always."""
    logger = logging.Logger("celery.test", level)
    logger.addFilter(SweepFilter(logger))
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)

    logger.info("a")
    logger.info("Scheduler: Sending due task %s (%s)", BEAT_ENTRY, SWEEP)
    logger.info("Task %(name)s[%(id)s] received", {"name": SWEEP, "id": "1"})
    logger.error("Sweep %(name)s failed", {"name": SWEEP})
    logger.info("b")

    assert lines == shown or len(lines) == 5
