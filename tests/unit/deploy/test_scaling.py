"""deploy/kubernetes/keda over a played day of load: no event waits for pods that are not there.

What KEDA is told is the package's own `lanes_wanted`, of glances at queues that are played here: events
come, fill batches, grow old, are claimed by the lanes of pods that have started, and are sent.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from tools.autoscaler import Autoscaler
from tools.deployed import KEDA, container, named, pods
from vwo_celery.operating.looks.lanes import lanes_of
from vwo_celery.queue.looks.glances import Glance
from vwo_celery.queue.words.batches import Limits

SPEC: Mapping[str, Any] = named("ScaledObject", "worker", KEDA)["spec"]
CONCURRENCY = int(
    container("worker")["args"][container("worker")["args"].index("--concurrency") + 1]
)
GRACE_SECONDS = int(pods()["worker"]["terminationGracePeriodSeconds"])
#: From the decision for a pod until its lanes claim: image, start, readiness.
START_SECONDS = 30
INTERVAL_SECONDS = 60
EVENTS_PER_REQUEST, PARALLEL, QUEUES = 100, 13, 3
DAY_SECONDS = 86_400
LIMITS = Limits(
    events_per_request=EVENTS_PER_REQUEST, interval_ms=INTERVAL_SECONDS * 1000, batch_bytes=10**6,
    capacity_events=10**9, capacity_bytes=10**12, parallel=PARALLEL, slot_ttl_ms=3_000,
)  # fmt: skip
#: What a glance tells of a queue that holds nothing.
NOTHING = {field.name: 0 for field in msgspec.structs.fields(Glance) if field.required}


class Queue:
    """One queue: events that nobody has sealed, batches that are due, and batches that are sent.

    Attributes:
        latest: The longest that the first event of a batch waited until it was claimed, in seconds.
    """

    def __init__(self) -> None:
        self.open, self.first = 0, 0
        self.due: deque[int] = deque()
        self.busy = self.claimed = self.latest = 0

    def take(self, events: int, second: int) -> None:
        """Events come; as in enqueue.lua, the one that fills a batch seals it."""
        self.first = self.first if self.open else second
        self.open += events
        while self.open >= EVENTS_PER_REQUEST:
            self.due.append(self.first)
            self.open, self.first = self.open - EVENTS_PER_REQUEST, second

    def sweep(self, second: int) -> None:
        """What a worker's listener does: the open list leaves once it is old enough."""
        if self.open and second - self.first >= INTERVAL_SECONDS:
            self.due.append(self.first)
            self.open = 0

    def claim(self, second: int) -> None:
        """A lane takes the batch that is first due."""
        self.latest = max(self.latest, second - self.due.popleft())
        self.busy, self.claimed = self.busy + 1, self.claimed + 1

    def glance(self, second: int) -> Glance:
        """What Redis tells of it."""
        seen: dict[str, Any] = {
            **NOTHING, "shard": "q:0", "now_ms": second * 1000, "limits": LIMITS,
            "open_events": self.open, "open_first_ms": self.first * 1000,
        }  # fmt: skip
        return Glance(**seen, due_batches=len(self.due), leased_batches=self.busy)


class Pods:
    """The pods of the deployment: those that start, those that claim, and those that only finish.

    Attributes:
        most: The most pods that there ever were.
        longest_end: The longest that a pod still sent after it was told to end, in seconds.
    """

    def __init__(self) -> None:
        self._ready_at: list[int] = []
        self._sending: list[list[tuple[int, Queue]]] = []
        self._ending: list[tuple[int, list[tuple[int, Queue]]]] = []
        self.most = self.longest_end = 0

    def become(self, count: int, second: int) -> None:
        """Start or end pods: the last one that was started is ended, whatever it sends."""
        while len(self._ready_at) < count:
            self._ready_at.append(second + START_SECONDS)
            self._sending.append([])
        while len(self._ready_at) > count:
            self._ready_at.pop()
            self._ending.append((second, self._sending.pop()))
        self.most = max(self.most, count)

    def work(self, queues: Sequence[Queue], second: int, post_seconds: Iterator[int]) -> None:
        """Let a second of sending pass."""
        for sending in [*self._sending, *(each for _, each in self._ending)]:
            for ended in [each for each in sending if each[0] <= second]:
                sending.remove(ended)
                ended[1].busy -= 1
        self.longest_end = max(
            [self.longest_end, *(second - told for told, left in self._ending if left)]
        )
        self._ending = [each for each in self._ending if each[1]]
        ready = [
            lanes for at, lanes in zip(self._ready_at, self._sending, strict=True) if at <= second
        ]
        for queue in queues if ready else ():
            queue.sweep(second)
        for lanes in ready:
            for queue in queues:
                while queue.due and queue.busy < PARALLEL and len(lanes) < CONCURRENCY:
                    queue.claim(second)
                    lanes.append((second + next(post_seconds), queue))


class Played:
    """Queues, pods and the autoscaler; every event that comes is the caller's."""

    def __init__(self, post_seconds: Iterator[int], queues: int = QUEUES) -> None:
        self.queues = [Queue() for _ in range(queues)]
        self.pods, self.second, self._post_seconds = Pods(), 0, post_seconds
        self.scaler = Autoscaler(SPEC, self.wanted)

    def wanted(self) -> int:
        """The lanes that are wanted now."""
        return lanes_of([each.glance(self.second) for each in self.queues], ()).lanes_wanted

    def tick(self, events: int = 0) -> None:
        """Let a second pass in which so many events come, to one queue after the other."""
        self.queues[self.second % len(self.queues)].take(events, self.second)
        self.pods.become(self.scaler.look(self.second), self.second)
        self.pods.work(self.queues, self.second, self._post_seconds)
        self.second += 1

    @property
    def latest(self) -> int:
        """The longest that any event waited until it was claimed."""
        return max(each.latest for each in self.queues)

    @property
    def is_empty(self) -> bool:
        """Whether every event was sent."""
        return not any(each.open or each.due or each.busy for each in self.queues)


def in_time() -> int:
    """The longest that an event may wait: its interval, KEDA's look, and the start of a pod."""
    return int(INTERVAL_SECONDS + SPEC["pollingInterval"] + START_SECONDS)


def day(rng: random.Random) -> Iterator[int]:
    """Events in each second of a day: a silent night with a few, a day's curve, two rushes."""
    rushes = {rng.randrange(30_000, 70_000) for _ in range(2)}
    for second in range(DAY_SECONDS):
        if second < 18_000:
            yield int(rng.random() < 0.001)
            continue
        curve = 250 * math.sin(math.pi * (second - 18_000) / (DAY_SECONDS - 18_000))
        rush = 300 if any(0 <= second - at < 600 for at in rushes) else 0
        yield max(0, int(rng.gauss(curve, 40))) + rush


def test_a_day_of_load_leaves_in_time() -> None:
    """No event is late by more than its interval, a look and a pod's start; pods follow the load."""
    rng = random.Random(4711)
    played = Played(iter(lambda: rng.choice((1, 1, 2, 2, 3, 18)), None))
    without_pods = 0

    for events in day(rng):
        played.tick(events)
        without_pods += not played.scaler.pods
    while not played.is_empty:
        played.tick()

    assert played.latest <= in_time()
    assert without_pods > 3_600
    assert 4 <= played.pods.most <= SPEC["maxReplicaCount"]
    assert played.pods.longest_end < GRACE_SECONDS


@pytest.mark.parametrize("events", [1, EVENTS_PER_REQUEST])
def test_events_wake_a_fleet_of_nobody(events: int) -> None:
    """Without a worker and without beat, an old open list starts a pod, as a full one does."""
    played = Played(iter(lambda: 1, None), queues=1)
    played.tick()
    assert played.scaler.pods == 0

    played.tick(events)
    while not played.is_empty:
        assert played.second < 2 * in_time()
        played.tick()

    assert played.latest <= in_time()
    assert (played.latest >= INTERVAL_SECONDS) == (events < EVENTS_PER_REQUEST)


def test_a_long_request_is_not_scaled_away() -> None:
    """A pod that sends stays, however long and though nothing else is to be done; then it goes."""
    minutes = 40
    played = Played(iter(lambda: minutes * 60, None), queues=1)
    played.tick(EVENTS_PER_REQUEST)
    while not played.queues[0].claimed:
        played.tick()

    while not played.is_empty:
        played.tick()
        assert played.scaler.pods == 1 or played.is_empty

    for _ in range(SPEC["cooldownPeriod"] + SPEC["pollingInterval"]):
        played.tick()
    assert played.scaler.pods == 0
    assert played.pods.longest_end == 0
