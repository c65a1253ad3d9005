"""Draws docs/pictures/top-*.svg: `vwo-celery top` with a fleet that is made up here.

`python docs/build_top.py`; tests/integration/top/test_top_pictures.py compares the pictures with what
is drawn.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from textual.pilot import Pilot

from vwo_celery import Settings
from vwo_celery.clocks import monotonic
from vwo_celery.operating.batches.finding import Scan
from vwo_celery.operating.batches.found import DeadBatch
from vwo_celery.operating.batches.listing import ListedBatch
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.operating.doctor.finding import ok, problem, warn
from vwo_celery.operating.looks.looking import Look
from vwo_celery.operating.looks.notes import LOOK, WRONG, Note
from vwo_celery.operating.looks.stops import Stop
from vwo_celery.operating.looks.views import Ledger, QueueView
from vwo_celery.operating.looks.workers import Listening
from vwo_celery.operating.past.audit import Actor
from vwo_celery.operating.past.history import QueueHistory, Step
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.batches import Limits
from vwo_celery.top.app import Top
from vwo_celery.top.looking.checkup import Verdict
from vwo_celery.top.looking.plans import Plan
from vwo_celery.top.looking.rates import Speeds
from vwo_celery.top.looking.scenes import Scene
from vwo_celery.top.looking.watching import Source

FOLDER: Final = Path(__file__).parent / "pictures"
SIZE: Final = (124, 34)
#: Fonts that a picture would fetch from elsewhere.
_FONTS = re.compile(r"\s*@font-face \{.*?\}\n", re.DOTALL)
_NOW_MS: Final = 1_795_813_200_000
_MINUTE_MS: Final = 60_000
#: Longer than it takes to draw: the verdict is always of this moment.
_LONG_SECONDS: Final = 3_600.0
_MOST_PAUSES: Final = 100

PAUSED, FAILING, DEAD, DECLINED, WELL = (
    "fme-777777-731429747445", "fme-555555-bc4c8a03f1c8", "fme-444444-413527c61a72",
    "fme-222222-1964105d9e5c", "fme-888888-3d0a6db3b9f3",
)  # fmt: skip


def _view(queue: str, **known: Any) -> QueueView:
    """A view of a queue of which only this is remarkable."""
    names = ("open", "ready", "in_flight", "released", "dead", "delivered", "dropped_events")
    n = {name: known.pop(name, 0) for name in names}
    pending = n["open"] + n["ready"]
    held = pending + n["in_flight"] + n["released"]
    ledger = Ledger(
        queue, n["delivered"] + n["dead"] + n["dropped_events"] + held, n["delivered"], n["dead"],
        n["dropped_events"], pending, n["in_flight"], n["released"], True,
    )  # fmt: skip
    seconds = known.pop("interval_seconds", 5)
    plain: dict[str, Any] = {
        "limits": Limits(100, 1000 * seconds, 1_000_000, 100_000, 1 << 30, 4, 60_000),
        "shards": (0,), "bytes": 448 * held, "dead_batches": n["dead"], "dropped": {}, "drops": (),
        "refused": 0, "fullness": held / 100_000, "oldest_age_seconds": None, "late_seconds": 0.0,
        "next_try_seconds": None, "error": "", "attempt": 0, "paused": "", "held_seconds": None,
        "stopped": None, "failing": None, "delivered_age_seconds": None, "failing_seconds": None,
        "failed_age_seconds": None, "answer": "", "receiver_errors": 0,
        "redis_lost_age_seconds": None, "forgotten_age_seconds": None, "repaired": 0,
        "repaired_age_seconds": None, "unreadable": (), "incomplete": False,
    }  # fmt: skip
    counts = {name: n[name] for name in ("open", "ready", "in_flight", "released", "dead")}
    return QueueView(queue=queue, ledger=ledger, **counts, **{**plain, **known})


VIEWS: Final = (
    _view(
        PAUSED, open=12, ready=4_200, oldest_age_seconds=81.0, delivered=91_200,
        delivered_age_seconds=94.0, paused="VWO answered 401 (Unauthorized); check sdk_key",
        stopped=Stop("refusal", "VWO answered 401 (Unauthorized); check sdk_key", 76.0, None),
    ),
    _view(
        DECLINED, open=351, oldest_age_seconds=840.0, interval_seconds=600, declined_by_all=True,
    ),
    _view(
        FAILING, open=36, ready=6_200, released=800, oldest_age_seconds=45.0, delivered=40_100,
        delivered_age_seconds=52.0, failing_seconds=44.0,
        stopped=Stop("outage", "VWO answered 503 (Service Unavailable)", 41.0, 19.0),
    ),
    _view(DEAD, open=3, dead=100, oldest_age_seconds=1.1, delivered=812_000, delivered_age_seconds=0.6),
    _view(
        WELL, open=149, in_flight=200, oldest_age_seconds=3.4, delivered=4_004_211,
        delivered_age_seconds=0.2,
    ),
)  # fmt: skip
NOTES: Final = {
    PAUSED: [
        Note(
            "paused: VWO answered 401 (Unauthorized); check sdk_key (for 76 s, because VWO refuses it); "
            f"no try while it is paused; to send again: vwo-celery resume --queue {PAUSED}",
            WRONG,
        )
    ],
    DECLINED: [], DEAD: [], WELL: [],
    FAILING: [
        Note(
            "stopped: VWO answered 503 (Service Unavailable) (for 41 s, because sending keeps failing); "
            "one batch is sent as a probe in 19 s; 7,036 kept",
            LOOK,
        )
    ],
}  # fmt: skip
FINDINGS: Final[tuple[Finding, ...]] = (
    problem(
        "VC612", f"1 queue paused, 4,212 events held back: {PAUSED}: VWO answered 401 (Unauthorized)",
        f"mend what it says, then: vwo-celery resume --queue {PAUSED}",
    ),
    problem(
        "VC406", f"1 queue declined by every listening worker: {DECLINED} by web1:4711",
        "allow the host in allowed_hosts of one of them, or start a worker that may",
    ),
    warn(
        "VC631", f"100 events in 100 dead batches of {DEAD}",
        "vwo-celery dead list says why; then dead redrive, or dead purge",
    ),
    *(ok("settings", "in range") for _ in range(20)),
)  # fmt: skip


def _steps(delivered: Callable[[int], float], waiting: Callable[[int], float]) -> QueueHistory:
    """An hour by the minute; five samples are missing, as of a worker that was restarted."""
    steps = []
    for minute in range(-58, 1):
        if -40 < minute < -34:
            continue
        seconds = 360.0 if minute == -34 else 60.0
        came = int(seconds * delivered(minute))
        steps.append(
            Step(
                _NOW_MS + minute * _MINUTE_MS, seconds, came, came, 0, 0, 0, int(waiting(minute)),
                0, 0.0, False,
            )
        )  # fmt: skip
    return QueueHistory("", 60.0, tuple(steps))


def _busy(minute: int) -> float:
    return 620 + 300 * math.sin(minute / 9) - 4 * minute


def _filling(minute: int) -> float:
    return 240 if minute < -12 else 240 + 900 * (minute + 12)


def _scene() -> Scene:
    seen = Look(
        now_ms=_NOW_MS, views=VIEWS, notes=NOTES, tallies={}, apart={},
        heard=[Listening("web1:4711", 0.4), Listening("web2:4712", 1.2)], last_heard_ms=_NOW_MS,
        sweeps_ms={"beat": _NOW_MS - 3_000}, wakeups=0,
    )  # fmt: skip
    speeds = {PAUSED: 0.0, DECLINED: 0.0, FAILING: 0.0, DEAD: 96.0, WELL: 812.4}
    waiting = sum(view.undelivered for view in VIEWS)
    now = Speeds(10.0, speeds, ((908.4, waiting),))
    nothing = _steps(
        lambda minute: 90.0 if minute < -1 else 0.0, lambda minute: max(0, minute + 3) * 1_400
    )
    focus = QueueHistory(PAUSED, 60.0, nothing.steps)
    return Scene(seen, now, _steps(_busy, _filling), focus, "14:27:10")


def _listed(number: int, state: Any, **known: Any) -> ListedBatch:
    name = f"29160cf28b0f47788953.{number:04}"
    plain: dict[str, Any] = {
        "events": 100, "bytes": 44_800, "attempts": 0, "oldest_age_seconds": 81.0 - number,
        "at_seconds": number - 76.0, "reason": "",
    }  # fmt: skip
    return ListedBatch(PAUSED, 0, name, state, **{**plain, **known})


BATCHES: Final = [
    *(_listed(number, "ready") for number in range(12)),
    _listed(
        12, "released", attempts=1, at_seconds=24.0,
        reason="VWO answered 401 (Unauthorized); check sdk_key",
    ),
]  # fmt: skip


def _dead(number: int, answer: str) -> DeadBatch:
    return DeadBatch(
        DEAD, 0, f"d050cc16519814a9caa6.{number:04}", 1, 448, 1, f"VWO answered {answer}", _NOW_MS,
        60.0 + 40 * number, 0,
    )  # fmt: skip


LETTERS: Final = [
    _dead(
        number, "413 (Payload Too Large)" if number % 4 == 0 else "400 (Bad Request): unknown event"
    )
    for number in range(12)
]


def _nowhere() -> Fleet:
    raise AssertionError("nothing is asked here")


def _no_broker(_: Settings) -> BrokerFacts:
    raise AssertionError("nothing is asked here")


def made_up() -> Top:
    """The app before a fleet that nobody looks for."""
    source = Source(
        Settings(redis_url="redis://cache.example:6379/0"), _nowhere, lambda: (), _no_broker,
        Actor("ana", "top", "ops1"),
    )  # fmt: skip
    app = Top(source, seconds=2.0, operate=True)
    desk: Any = app.desk
    desk.start = lambda: None
    desk.scene, desk.verdict = _scene(), Verdict(FINDINGS, monotonic() + _LONG_SECONDS)
    desk.ask = lambda _, show, __: show(desk.answer)
    return app


Walk = Callable[[Top, Pilot[None]], Awaitable[None]]


async def _stay(app: Top, pilot: Pilot[None]) -> None:
    """Stay on the overview."""


async def _open_queue(app: Top, pilot: Pilot[None]) -> None:
    """Open the first queue."""
    app.desk.answer = BATCHES  # type: ignore[attr-defined]
    await pilot.press("enter")


async def _open_dead(app: Top, pilot: Pilot[None]) -> None:
    """Open the dead letters."""
    app.desk.answer = (LETTERS, Scan())  # type: ignore[attr-defined]
    await pilot.press("d")


async def _ask(app: Top, pilot: Pilot[None]) -> None:
    """Press the key that purges all."""
    await _open_dead(app, pilot)
    app.desk.answer = Plan(  # type: ignore[attr-defined]
        "Purge 12 events in 12 batches",
        [
            "12 events in 12 batches of 1 queue, all there are",
            "They are dropped for good, and counted in the ledger as dropped (purged)",
            "Those that die from now on are left out",
        ],
        lambda _: "", destroys=True, batches=12,
    )  # fmt: skip
    await pilot.press("A")


class Picture(NamedTuple):
    """One picture: its file, and how the app comes to show it."""

    file: str
    walk: Walk


PICTURES: Final = (
    Picture("top-overview.svg", _stay),
    Picture("top-queue.svg", _open_queue),
    Picture("top-dead.svg", _open_dead),
    Picture("top-question.svg", _ask),
)


def draw(picture: Picture, size: tuple[int, int] = SIZE) -> str:
    """The picture as it is drawn now, without anything that would be fetched from elsewhere."""

    async def run() -> str:
        app = made_up()
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await picture.walk(app, pilot)
            for _ in range(_MOST_PAUSES):
                await pilot.pause()
                if "Help" in (shown := app.export_screenshot()):  # keys come last
                    return shown
            raise AssertionError(f"{picture.file} does not show its keys")

    return _FONTS.sub("", asyncio.run(run())).replace("Fira Code", "monospace")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in PICTURES:
        (FOLDER / each.file).write_text(draw(each), encoding="utf-8")
