"""The counts of a shadowed SDK: of one moment, told once, kept while Redis is away, and per process.

The SDK is played by a list that events go into, and leave for a request.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tools.tcpproxy import TcpProxy
from vwo_celery.connections import open_client
from vwo_celery.operating.looks.shadows import ShadowReport, look_at_shadow
from vwo_celery.producing import shadowing
from vwo_celery.producing.shadowing import Shadower
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.shadows import forget_counts
from vwo_celery.sdk.shadow import Request, Watched
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys("shadow")


class Sdk:
    """An SDK with a list of events, whose hook and requests are watched."""

    def __init__(self, redis_url: str) -> None:
        self.waiting: list[Any] = []
        self.shadower = Shadower(Settings.load(redis_url=redis_url))
        self.shadower._start = lambda counts: None  # type: ignore[method-assign]
        self.watched = Watched(
            self.shadower, "q", lists=lambda: (self.waiting,), name=lambda event: ("e", "")
        )
        self.watched.begin()
        self.fleet = Fleet(open_client(redis_url, timeout_seconds=5), "vwo")

    def take(self, *events: Any) -> None:
        """Take events, which our hook sees."""
        for event in events:
            self.watched.hook(event)
            self.waiting.append(event)

    def send(self, *, during: Callable[[], object] = lambda: None, ok: bool = True) -> None:
        """Send what waits; do something while the request is under way."""
        events, self.waiting = self.waiting, []

        def call() -> bool:
            during()
            if not ok:
                raise OSError("refused")
            return True

        with suppress(OSError):
            self.watched.send(lambda: Request(events), call, lambda answer: answer)

    def report(self) -> ShadowReport:
        """The report on all that was told."""
        found = look_at_shadow(self.fleet)
        assert found is not None
        return found

    def numbers(self) -> tuple[int, ...]:
        """What the one row says of sent, lost, held and seen."""
        [row] = self.report().rows
        return row.sent, row.lost, row.held, row.hook


@pytest.fixture
def sdk(redis_url: str) -> Sdk:
    """An SDK whose counts go to this test's Redis when told."""
    return Sdk(redis_url)


def test_what_is_told_is_of_one_moment(sdk: Sdk) -> None:
    """Events are seen, held in the list, held in a request, and sent; each time both sides agree."""
    told = []

    def tell() -> None:
        sdk.shadower.tell()
        told.append((sdk.report().verdict, sdk.numbers()))

    sdk.take({"n": 1}, {"n": 2})
    tell()
    sdk.send(during=tell)
    tell()

    assert told == [
        ("same so far", (0, 0, 2, 2)), ("same so far", (0, 0, 2, 2)), ("same", (2, 0, 0, 2)),
    ]  # fmt: skip


def test_a_report_of_the_sdks_about_itself_is_never_held(sdk: Sdk) -> None:
    """`attach` leaves it to the SDK, so the hook never sees it: both sides agree while it is sent."""
    told = []

    def call() -> bool:
        sdk.shadower.tell()
        told.append((sdk.report().verdict, sdk.numbers()))
        return True

    sdk.take({"n": 1})
    sdk.watched.send(lambda: Request(({"about": "itself"},), goes_to_hook=False), call, bool)

    assert told == [("same so far", (0, 0, 1, 1))]
    sdk.shadower.tell()
    assert [row.aside for row in sdk.report().rows] == [1]


def test_an_event_on_its_way_to_its_request_is_waited_for(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between list and request an event is in neither; the look is repeated until it is found."""
    sdk.take({"n": 1})
    sdk.shadower.tell()
    sdk.take({"n": 2})
    away, sdk.waiting = sdk.waiting, []

    def arrive(seconds: float) -> None:
        sdk.waiting = away

    monkeypatch.setattr(shadowing.time, "sleep", arrive)
    sdk.shadower.tell()

    assert sdk.numbers() == (0, 0, 2, 2)


def test_a_request_that_fails_is_no_difference(sdk: Sdk) -> None:
    """What the SDK loses is told as lost."""
    sdk.take({"n": 1})
    sdk.send(ok=False)
    sdk.shadower.tell()

    assert (sdk.report().verdict, sdk.numbers()) == ("same", (0, 1, 0, 1))


def test_nothing_new_is_told_once(sdk: Sdk) -> None:
    """A second call without news adds nothing."""
    sdk.take({"n": 1})
    sdk.shadower.tell()
    sdk.shadower.tell()

    assert sdk.numbers() == (0, 0, 1, 1)


def test_counts_wait_while_redis_is_away() -> None:
    """They are told once it answers again, each once, though the answer of a call was lost."""
    with RedisServer() as server, TcpProxy(server.port) as proxy:
        sdk = Sdk(proxy.url())
        sdk.shadower.tell()
        sdk.take({"n": 1})
        proxy.swallow_replies()
        sdk.shadower.tell()
        proxy.pass_through()
        sdk.take({"n": 2})
        sdk.shadower.tell()

        assert sdk.numbers() == (0, 0, 2, 2)


def test_after_a_reset_what_is_held_counts_as_seen(sdk: Sdk) -> None:
    """The process goes on from zero, and the two sides still agree once the SDK has sent it."""
    sdk.take({"n": 1}, {"n": 2})
    sdk.send()
    sdk.take({"n": 3})
    sdk.shadower.tell()
    forget_counts(sdk.fleet)

    sdk.take({"n": 4})
    sdk.shadower.tell()
    assert sdk.numbers() == (0, 0, 2, 2)
    sdk.send()
    sdk.shadower.tell()

    assert (sdk.report().verdict, sdk.numbers()) == ("same", (2, 0, 0, 2))


def test_a_forked_child_begins_with_what_its_sdk_inherited(sdk: Sdk) -> None:
    """Its parent's counts are its parent's; what both send is told as inherited."""
    sdk.take({"n": 1})
    pid = os.fork()
    if not pid:
        try:
            sdk.take({"n": 2})
            sdk.send()
            sdk.shadower.tell(ends=True)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    sdk.send()
    sdk.shadower.tell()

    [row] = sdk.report().rows
    assert (row.sent, row.hook, row.inherited, row.agrees) == (3, 2, 1, True)
    assert (sdk.report().running, sdk.report().ended) == (1, 1)


def test_an_event_that_no_batch_carries_is_told(sdk: Sdk) -> None:
    """It is held for ever, and counted as unsendable; nothing is raised."""
    sdk.take({"n": float("nan")})
    sdk.shadower.tell()

    [row] = sdk.report().rows
    assert (row.agrees, row.held, row.unsendable) == (True, 1, 1)


def test_threads_lose_no_count(sdk: Sdk) -> None:
    """Notes of many threads are summed up beside them."""
    threads = [
        threading.Thread(target=lambda: [sdk.watched.hook({"n": n}) for n in range(2_000)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sdk.shadower.tell()

    assert sdk.numbers() == (0, 0, 0, 16_000)


def test_a_fault_in_the_shadow_reaches_nobody(sdk: Sdk) -> None:
    """An event of which nothing can be made is counted as a failure; the SDK's answer is its own."""
    sdk.watched._name = lambda event: event["no such"]  # type: ignore[assignment]

    sdk.watched.hook({"n": 1})
    answer = sdk.watched.send(lambda: Request([{"n": 1}]), lambda: "answer", lambda answer: True)

    assert answer == "answer"
    assert sdk.shadower.failures == 2
