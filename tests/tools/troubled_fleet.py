"""A fleet whose queues are each in another trouble, with a real worker, and a VWO that answers so.

For the tests in a browser, and for the pictures of the documentation. The worker and the answers bring
each queue into its trouble, so that what is shown has the very words an operator will read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis as redis_py

import vwo_celery
from tools.installation import KEY, Installation
from tools.made_past import move_back, spread_dead, write_history
from tools.waiting import wait_until
from vwo_celery import Settings
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.operating.looks.views import QueueView
from vwo_celery.operating.operations import flush, pause
from vwo_celery.operating.past.audit import Actor, Change, changes
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.registration import Registration
from vwo_celery.testing import Fault, Standin
from vwo_celery.testing.standin.faults import FaultLike
from vwo_celery.testing.standin.rules import Request

#: Accounts by the trouble of their queue.
PAUSED: Final = 777777  # VWO refuses its key
FAILING: Final = 555555  # VWO is down for it
DEAD: Final = 444444  # VWO refuses some of its events
FULL: Final = 333333  # an operator paused it, and it has filled up
DECLINED: Final = 222222  # no worker may send to its host
WELL: Final = 888888  # none, for comparison

#: Events of the troubled queues that wait, by account.
WAITING: Final = {PAUSED: 4_212, FAILING: 7_000, FULL: 2_000, DECLINED: 351}
#: Why nothing leaves, by account; see `Stop.by`.
STOPS: Final = {PAUSED: "refusal", FAILING: "outage", FULL: "operator", DECLINED: "workers"}
#: Time since which they are in trouble, in the past that `give_past` makes.
SINCE_SECONDS: Final = {PAUSED: 2_460.0, FAILING: 1_140.0, FULL: 7_800.0, DECLINED: 10_800.0}
#: Events a second that the queues of that past accept.
RATES: Final = {PAUSED: 1.7, FAILING: 6.1, DEAD: 0.8, FULL: 0.25, DECLINED: 0.03, WELL: 14.0}
DEAD_AGES_SECONDS: Final = (260_000.0, 93_000.0, 40_000.0, 7_500.0, 7_400.0, 900.0)
#: Dead letters of `DEAD`: an event each.
DEAD_LETTERS: Final = len(DEAD_AGES_SECONDS)
WHY_PAUSED: Final = "VWO changes the account's key until 14:00, ask Ana"
OPERATOR: Final = Actor("ana", "cli", "ops1")
#: Name of the events that VWO refuses, whatever the account.
MALFORMED: Final = "malformed"

#: VWO's answers by account, and to a batch with a malformed event.
_FAILURES: Final = {
    PAUSED: Fault(status=401, body=b'{"message": "Invalid SDK key"}'),
    FAILING: Fault(status=503, body=b'{"message": "No healthy upstream"}'),
}
_REFUSED: Final = Fault(status=400, body=b'{"message": "Malformed event: no such goal"}')
_WORKER: Final = {
    "VWO_CELERY_CIRCUIT_FAILURES": "2",
    "VWO_CELERY_BACKOFF_BASE_SECONDS": "60",
    "VWO_CELERY_BACKOFF_MAX_SECONDS": "600",
}
_BATCH: Final = {"events_per_request": 100, "request_time_interval": 5}
_PATIENT: Final = {"events_per_request": 1_000, "request_time_interval": 600}
_LEASE_SECONDS: Final = 60.0
_PAIR: Final = 2
_PAIRS: Final = {"events_per_request": _PAIR, "request_time_interval": 5}


def event(name: str, number: int = 0) -> dict[str, Any]:
    """An FME event, with the id of a visitor that its number is made of."""
    visitor = f"{number:032X}"
    told = {"props": {"price": 49.9, "sku": f"A-{number}"}, "name": name, "time": number}
    body = {"msgId": f"{visitor}-{number}", "visId": visitor, "sessionId": 1, "event": told}
    return {"d": {**body, "visitor_ip": "203.0.113.7"}}


class TroubledFleet:
    """The queues, from `troubled_fleet` on.

    Attributes:
        redis_url: Redis of the queues, and Celery's broker.
        standin: What plays VWO.
        env: Variables of everything that belongs to the fleet: worker, doors, commands.
        fleet: The queues, as an operator's programs see them.
        queues: The queues by account.
    """

    def __init__(self, redis_url: str, folder: Path) -> None:
        self.redis_url = redis_url
        self.standin = Standin(faults=self._answer)
        self.standin.start()
        installation = Installation(redis_url, self.standin, folder)
        self.env = {
            **{name: value for name, value in installation.env.items() if name != "REPORTS"},
            **_WORKER,
        }
        self.fleet = Fleet(
            redis_py.Redis.from_url(self.redis_url), Settings(redis_url=self.redis_url).namespace
        )
        self.queues: dict[int, vwo_celery.Queue] = {}
        self._mended: set[int] = set()
        self._down: set[int] = set()
        self._others: dict[str, vwo_celery.Queue] = {}
        installation.app = "vwo_celery.celery.app"  # the one that the console sends jobs to
        self._installation = installation
        self._next_account = 900_000

    @property
    def registered(self) -> dict[str, Registration]:
        """Registrations by queue name."""
        return self.fleet.registrations().readable

    def view(self, name: str) -> QueueView:
        """What an operator sees of a queue now."""
        (found,) = view_queues(self.fleet, {name: self.registered[name]})
        return found

    def changes(self, name: str) -> list[Change]:
        """The changes of a queue that the audit knows, the oldest first."""
        return changes(self.fleet, queues=[name])

    def connect(self, account: int, *, host: str = "", **options: Any) -> vwo_celery.Queue:
        """A queue of an account at the played VWO; *options* go by the names of `vwo_celery.connect`."""
        host = host or self.standin.netloc
        queue = vwo_celery.connect(
            vwo_celery.Destination(
                account_id=account, sdk_key=KEY, generation="fme", base_url=f"http://{host}"
            ),
            strict=True,
            redis_url=self.redis_url,
            **{"batch_event_data": dict(_BATCH), **options},
        )
        assert producer_of(queue).register()
        return queue

    def new_queue(self, events: int = 0) -> str:
        """Another queue without trouble; its name. It holds so many open events, for ten minutes."""
        queue = self.connect(self._new_account(), batch_event_data=_PATIENT)
        self._enqueue(queue, events)
        return queue.name

    def new_dead(self, batches: int) -> str:
        """Another queue, of which VWO has refused so many batches of one event each; its name."""
        queue = self.connect(self._new_account(), batch_event_data=_PAIRS)
        self._others[queue.name] = queue
        self._make_dead(queue, batches)
        return queue.name

    def more_dead(self, name: str) -> None:
        """Let VWO refuse one event more of a queue that `new_dead` made."""
        self._make_dead(self._others[name], 1)

    def new_released(self) -> str:
        """Another queue, of which VWO could not take two events yet: they wait a minute; its name."""
        account = self._new_account()
        self._down.add(account)
        queue = self.connect(account, batch_event_data=_PAIRS)
        self._enqueue(queue, _PAIR)
        wait_until(lambda: self.view(queue.name).released == _PAIR, what="a failed attempt")
        return queue.name

    def new_dead_batch(self, events: int) -> str:
        """Another queue that holds one dead letter of so many events; its name.

        No worker may send to its host, so what is redriven of it waits.
        """
        batch = {"events_per_request": events, "request_time_interval": 600}
        host = f"localhost:{self.standin.port}"
        queue = self.connect(self._new_account(), host=host, batch_event_data=batch)
        self._enqueue(queue, events)
        shard = self.fleet.shard(queue.name, 0)
        claimed = shard.claim(token="", lease_seconds=_LEASE_SECONDS)
        assert isinstance(claimed, Batch)
        assert shard.dead_letter(claimed, error="set aside by an operator")
        return queue.name

    def accept_all(self, name: str) -> None:
        """Let VWO take what it has refused of a queue, as after somebody has mended the account."""
        account = int(self.registered[name].destination.account_id)
        self._mended.add(account)
        self._down.discard(account)

    def flush(self, name: str) -> None:
        """Send what a queue holds, as `vwo-celery flush` does."""
        flush(self.fleet, OPERATOR, [name])

    def delivered(self, name: str) -> int:
        """Events of a queue that VWO has taken, by its own count."""
        account = str(self.registered[name].destination.account_id)
        taken = [each for each in self.standin.batches if 200 <= each.status < 300]
        return sum(len(each.events) for each in taken if each.query["a"] == account)

    def start(self) -> None:
        """Start a worker and beat, and bring each queue into its trouble."""
        self._installation.worker(**_WORKER)
        self._installation.beat()
        self.queues = {
            PAUSED: self.connect(PAUSED),
            FAILING: self.connect(FAILING),
            DEAD: self.connect(DEAD, batch_event_data=_PAIRS),
            FULL: self.connect(FULL, max_queue_events=WAITING[FULL], when_full="drop_newest"),
            DECLINED: self.connect(DECLINED, host=f"localhost:{self.standin.port}"),
            WELL: self.connect(WELL),
        }
        self._pause(self.queues[FULL])
        for account, waiting in WAITING.items():
            self._enqueue(self.queues[account], waiting)
        self.queues[FULL].enqueue(event("purchase"))
        self._enqueue(self.queues[WELL], 1_200)
        self._make_dead(self.queues[DEAD], DEAD_LETTERS)
        wait_until(self._all_in_trouble, 30, what="queues in their troubles")

    def give_past(self) -> None:
        """Let the troubles have begun long ago, and fill the history of all queues."""
        for account, queue in self.queues.items():
            shard, since = self.fleet.shard(queue.name, 0), SINCE_SECONDS.get(account)
            if since:
                move_back(self.fleet.client, shard, since)
            write_history(self.fleet.client, shard, rate=RATES[account], stopped_seconds=since)
        dead = self.fleet.shard(self.queues[DEAD].name, 0)
        spread_dead(self.fleet.client, dead, list(DEAD_AGES_SECONDS))

    def stop(self) -> None:
        """End all that was started."""
        self._installation.stop()
        self.standin.stop()

    def _pause(self, queue: vwo_celery.Queue) -> None:
        pause(self.fleet, OPERATOR, {queue.name: self.registered[queue.name]}, WHY_PAUSED)

    def _enqueue(self, queue: vwo_celery.Queue, events: int) -> None:
        assert all(queue.enqueue_many(event("purchase", number) for number in range(events)))

    def _make_dead(self, queue: vwo_celery.Queue, batches: int) -> None:
        """Let VWO take a batch, and then refuse an event of each, which becomes a dead letter."""
        before = self.view(queue.name)
        self._enqueue(queue, _PAIR)
        wait_until(
            lambda: self.view(queue.name).ledger.delivered > before.ledger.delivered,
            what="delivery of a batch",
        )
        for number in range(batches):
            assert all(queue.enqueue_many([event("purchase", number), event(MALFORMED, number)]))
        wanted = before.dead_batches + batches
        wait_until(
            lambda: self.view(queue.name).dead_batches == wanted, what=f"{wanted} dead letters"
        )

    def _answer(self, request: Request) -> FaultLike:
        """What VWO answers: by the account, and to a batch with a malformed event."""
        account = int(request.query.get("a", "0"))
        if f'"{MALFORMED}"'.encode() in request.body and account not in self._mended:
            return _REFUSED
        return _FAILURES[FAILING] if account in self._down else _FAILURES.get(account)

    def _new_account(self) -> int:
        self._next_account += 1
        return self._next_account

    def _all_in_trouble(self) -> bool:
        views = {account: self.view(queue.name) for account, queue in self.queues.items()}
        stops = {account: view.stopped for account, view in views.items()}
        return all(
            [
                {account: stop.by for account, stop in stops.items() if stop} == STOPS,
                views[DECLINED].declined_by_all,
                views[FULL].refused,
                not views[WELL].undelivered,
            ]
        )


@contextmanager
def troubled_fleet(redis_url: str, folder: Path) -> Iterator[TroubledFleet]:
    """A fleet in trouble on an empty Redis; its worker, its beat and its VWO end with the block.

    Args:
        redis_url: An empty Redis, which is left full.
        folder: Where the logs go.
    """
    fleet = TroubledFleet(redis_url, folder)
    try:
        fleet.start()
        fleet.give_past()
        yield fleet
    finally:
        fleet.stop()
