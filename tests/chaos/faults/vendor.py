"""Faults of VWO.

Each fault is a context manager on a running fleet: inflicted on entry, healed on exit. The caller
decides how long it lasts. If healing starts a program again, the exit returns when that program is
ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chaos.application import POISON
from chaos.faults.row import Infliction, Row
from chaos.fleet import Fleet
from chaos.kit import Kit, Traffic
from vwo_celery.testing import Request
from vwo_celery.testing.standin import Fault
from vwo_celery.testing.standin.faults import FaultLike


def vendor(choose: FaultLike | Callable[[Request], FaultLike]) -> Infliction:
    """VWO answers every request with the fault, or as *choose* decides."""

    @contextmanager
    def infliction(fleet: Fleet) -> Iterator[None]:
        fleet.vendor.misbehave = choose if callable(choose) else lambda _: choose
        yield
        fleet.vendor.behave()

    return infliction


def refuse_many(most: int) -> Callable[[Request], FaultLike]:
    """413 for a batch of more than *most* events."""
    return lambda request: 413 if len(request.events) > most else None


def refuse_poison(request: Request) -> FaultLike:
    """400 for a batch with an unreadable event."""
    return 400 if f'"{POISON}"'.encode() in request.body else None


@contextmanager
def vendor_down(fleet: Fleet) -> Iterator[None]:
    """Nobody listens at VWO's address."""
    fleet.vendor.stop()
    yield
    fleet.vendor.start()


#: Workers that probe within seconds after a refusal, where the default is a minute.
IMPATIENT = Kit(backoff_base_seconds=0.1)

#: Rows of the fault matrix.
ROWS = (
    Row(name="vwo-500", fault="VWO answers 500", inflict=vendor(500)),
    Row(
        name="vwo-429",
        fault="VWO answers 429, Retry-After 1 s",
        inflict=vendor(Fault(status=429, headers=(("Retry-After", "1"),))),
    ),
    Row(
        name="vwo-413",
        fault="VWO accepts at most 7 events (413)",
        inflict=vendor(refuse_many(7)),
    ),
    Row(
        name="vwo-413-all",
        fault="something before VWO answers 413 to everything; requests are bounded by probes",
        inflict=vendor(413),
        most_requests=60,
    ),
    Row(
        name="vwo-404",
        fault="a load balancer answers 404 to everything; the queue heals without a person",
        inflict=vendor(404),
        kit=IMPATIENT,
        most_requests=20,
        soak=False,
    ),
    Row(
        name="vwo-400",
        fault="VWO cannot read one event in a hundred (400)",
        inflict=vendor(refuse_poison),
        traffic=Traffic(poison_every=100),
        dead="poison",
    ),
    Row(
        name="vwo-silent",
        fault="VWO never answers",
        inflict=vendor("hang"),
        seconds=4,
    ),
    Row(
        name="vwo-drips",
        fault="VWO's answer arrives byte by byte, too slowly",
        inflict=vendor("trickle"),
        seconds=4,
    ),
    Row(
        name="vwo-reset-early",
        fault="VWO resets the connection, nothing accepted",
        inflict=vendor("reset"),
    ),
    Row(
        name="vwo-reset-late",
        fault="VWO accepts a batch, then resets the connection",
        inflict=vendor(Fault(connection="reset", accepted=True)),
    ),
    Row(name="vwo-down", fault="VWO down (connections refused)", inflict=vendor_down, seconds=6),
    Row(
        name="vwo-outage",
        fault="VWO answers 503 for 10 s; requests are bounded by probes",
        inflict=vendor(503),
        seconds=10,
        most_requests=40,
    ),
)
