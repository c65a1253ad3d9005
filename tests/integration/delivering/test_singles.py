"""Events that are sent one by one and whole: the request leaves as it came, and errs alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import vwo_celery
from tools.command_line import run_command
from tools.producers import worker_fleet, worker_shards
from tools.queue_states import HOLDS_SOMETHING
from tools.waiting import wait_until
from vwo_celery import aio
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.operating.batches import move_plans
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_dead
from vwo_celery.producing.queue import producer_of
from vwo_celery.producing.singles import envelope
from vwo_celery.queue.looks.snapshots import Snapshot, take_snapshot
from vwo_celery.queue.words.batches import Batch
from vwo_celery.queue.words.registration import Wakeup
from vwo_celery.queue.work import sweeping
from vwo_celery.testing import Standin
from vwo_celery.testing.standin.rules import Request

pytestmark = pytest.mark.declared_keys(
    *HOLDS_SOMETHING, "births", "released", "suspect", "arrived", "declined", "declined_queues"
)

KEY = "0123456789abcdef0123456789abcdef"
HEADERS = {
    "User-Agent": "vwo-java-sdk/1.66", "X-Device-User-Agent": "Mozilla/5.0 (X11)",
    "VWO-X-Forwarded-For": "203.0.113.7",
}  # fmt: skip


def body(number: int, name: str = "purchase", key: str = KEY) -> bytes:
    """A body as legacy SDKs with event-arch send it, with blanks that nothing may take away."""
    told = {"props": {"vwo_envKey": key, "vwoMeta": {"metric": {"id_1": ["g_1"]}}}, "name": name}
    details = {"msgId": f"m-{number}", "visId": "A" * 32, "sessionId": number, "event": told}
    return json.dumps({"d": details}, separators=(", ", ":  ")).encode()


def target(name: str = "purchase") -> str:
    """A target with names, an encoding and empty values as SDKs write them."""
    return f'/events/t?p=FS&en={name}&a=888888&env={KEY}&ua=%252F%2f&url=&ed={{"p":1}}'


class Singles:
    """A queue of single events, and its worker in this process."""

    def __init__(self, redis_url: str, standin: Standin, **settings: Any) -> None:
        self.standin = standin
        destination = vwo_celery.Destination(
            account_id=888888, sdk_key=KEY, generation="single", region="eu01", base_url=standin.url
        )
        self.queue = vwo_celery.connect(
            destination, redis_url=redis_url, enqueue_timeout_seconds=5.0,
            backoff_base_seconds=0.01, backoff_max_seconds=0.05, allowed_hosts=[standin.netloc],
            **settings,
        )  # fmt: skip
        self.fleet, (self.shard,) = worker_fleet(self.queue), worker_shards(self.queue)
        self.worker = Worker(self.fleet, self.queue.settings, lambda wakeup: None)

    def event(self, number: int, name: str = "purchase") -> bytes:
        """One event."""
        return envelope(self.queue.destination, target(name), HEADERS, body(number, name))

    def enqueue(self, *numbers: int) -> None:
        """Enqueue events of these numbers."""
        assert all(self.queue.enqueue_many(self.event(number) for number in numbers))

    def deliver(self) -> None:
        """Deliver what can be claimed now."""
        sweeping.sweep_shard(self.shard, force=True)
        deliver(self.worker, Wakeup(self.queue.name, 0, ""))

    def deliver_all(self) -> None:
        """Deliver until nothing is left that could be."""

        def is_done() -> bool:
            self.deliver()
            waiting = self.state
            states = ("ready", "released", "in_flight")
            return not waiting.open_events and not any(map(waiting.events, states))

        wait_until(is_done, 20)

    @property
    def state(self) -> Snapshot:
        """The shard as the ledger sees it."""
        return take_snapshot(self.shard)

    @property
    def accepted(self) -> list[Request]:
        """The requests that VWO accepted."""
        return [each for each in self.standin.singles if each.status == 200]

    def bodies(self) -> list[bytes]:
        """Their bodies."""
        return [each.body for each in self.accepted]


@pytest.fixture
def refused() -> dict[bytes, int]:
    """The bodies that VWO refuses, and by which status."""
    return {}


@pytest.fixture
def standin(refused: dict[bytes, int]) -> Iterator[Standin]:
    """A VWO that knows the account and its region."""
    with Standin(
        accounts={888888: KEY},
        regions={888888: "eu01"},
        single_faults=lambda sent: refused.get(sent.body),
    ) as standin:
        yield standin


@pytest.fixture
def made(redis_url: str, standin: Standin) -> Singles:
    """A queue of single events with a worker."""
    return Singles(redis_url, standin)


def test_each_event_is_the_request_that_it_was(made: Singles, standin: Standin) -> None:
    """Target, body and the SDK's headers leave byte for byte, one event a request, in their order."""
    made.enqueue(1, 2, 3)
    made.deliver_all()

    assert made.bodies() == [body(1), body(2), body(3)]
    assert {each.target for each in made.accepted} == {f"/eu01{target()}"}
    for sent in made.accepted:
        assert {name: sent.header(name) for name in HEADERS} == HEADERS
        assert sent.header("Authorization") is None
        assert sent.header("Content-Type") is None
        assert not [name for name, _ in sent.headers if name.lower().startswith("x-vwo-celery")]
    assert standin.disagreements() == []
    assert made.state.balanced
    assert standin.batches == []


def test_without_an_own_name_the_request_has_ours(made: Singles) -> None:
    """A request without a User-Agent does not go out under the HTTP library's, which names Python."""
    made.queue.enqueue(envelope(made.queue.destination, target(), {}, body(1)))
    made.deliver_all()

    (sent,) = made.accepted
    assert sent.header("User-Agent") == "vwo-celery"
    assert sent.header("X-Device-User-Agent") is None


@pytest.mark.parametrize("fault", [503, 429, 500, "reset"], ids=str)
def test_what_passes_by_itself_is_sent_again(made: Singles, standin: Standin, fault: Any) -> None:
    """An event that VWO does not take now is released, and sent whole again."""
    standin.fail_singles(fault)

    made.enqueue(1, 2)
    made.deliver_all()

    assert sorted(made.bodies()) == [body(1), body(2)]
    assert made.state.balanced


@pytest.mark.parametrize("status", [400, 422])
def test_an_event_that_vwo_refuses_is_dead_lettered_alone(
    made: Singles, refused: dict[bytes, int], status: int
) -> None:
    """An event is to blame once VWO has refused it again, and accepted another one since."""
    made.enqueue(1)
    made.deliver_all()
    refused[body(2)] = status

    made.enqueue(2)
    made.deliver()
    made.enqueue(3)
    made.deliver_all()

    assert sorted(made.bodies()) == [body(1), body(3)]
    assert made.state.events("dead") == 1
    assert made.state.balanced


def test_a_wrong_key_pauses_before_the_first_delivery(made: Singles, standin: Standin) -> None:
    """A refusal before anything was accepted is configuration: everything is kept."""
    standin.fail_singles(404)

    made.enqueue(1)
    made.deliver()

    assert made.state.paused
    assert made.state.events("ready") + made.state.events("released") == 1


def test_an_event_that_is_too_large_for_the_way_is_dead_lettered(
    made: Singles, refused: dict[bytes, int]
) -> None:
    """A 413 for a large event, while VWO takes others, is the event's own."""
    made.enqueue(1)
    made.deliver_all()
    large = body(2).replace(b'"purchase"', b'"%b"' % (b"x" * 20_000))
    refused[large] = 413

    assert made.queue.enqueue(envelope(made.queue.destination, target(), HEADERS, large))
    made.deliver()
    made.enqueue(3)
    made.deliver_all()

    assert made.bodies() == [body(1), body(3)]
    assert made.state.balanced


def test_another_programs_events_do_not_leave_under_this_account(
    made: Singles, standin: Standin
) -> None:
    """What is no envelope of this account and key is dead-lettered unsent, with the reason; others go."""
    made.enqueue(1)
    made.deliver_all()
    wrong = [
        b'{"d":{}}',
        made.event(2).replace(b"a=888888", b"a=999999"),
        made.event(3).replace(b"env=<SDK key>", b"env=another"),
        made.event(4).replace(b"/events/t?", b"/server-side/batch-events?"),
    ]
    made.fleet.client.lpush(made.shard.keys.open, *wrong, made.event(5))
    made.deliver_all()

    assert made.bodies() == [body(1), body(5)]
    assert made.state.events("dead") == len(wrong)
    errors = {batch.error for batch in made.state.batches}
    assert any("names another account than its queue" in error for error in errors)
    assert any("names another SDK key than its queue" in error for error in errors)
    assert made.state.balanced


def test_several_events_in_one_batch_are_taken_apart(made: Singles, standin: Standin) -> None:
    """A batch of several, as from a registration with other limits, is split before anything is sent."""
    assert producer_of(made.queue).register()
    limits = msgspec.structs.replace(producer_of(made.queue).limits, events_per_request=5)
    made.shard.set_limits(limits)
    made.fleet.client.lpush(made.shard.keys.open, *(made.event(number) for number in range(5)))
    made.deliver_all()

    assert sorted(made.bodies()) == [body(number) for number in range(5)]
    assert all(len(each.body) < 500 for each in standin.singles)
    assert made.state.balanced


def test_one_request_each_whatever_the_batch_options_say(redis_url: str, standin: Standin) -> None:
    """The queue's registration has one event a request, and no interval to wait for."""
    made = Singles(redis_url, standin, batch_event_data={"events_per_request": 100})
    made.enqueue(1)

    assert made.fleet.registration(made.queue.name).limits.events_per_request == 1
    assert made.state.events("ready") == 1
    made.deliver_all()


def test_an_event_that_is_no_request_is_not_taken(made: Singles) -> None:
    """The receipt says so; nothing is stored that no worker could send."""
    receipts = made.queue.enqueue_many([{"d": {}}, made.event(1)])

    assert [receipt.reason for receipt in receipts] == ["not_single", None]
    assert made.queue.enqueue({"target": "/events/t", "headers": {}}).reason == "not_single"
    made.deliver_all()
    assert made.bodies() == [body(1)]


def test_an_asyncio_queue_takes_envelopes_only(made: Singles, redis_url: str) -> None:
    """The same for asyncio: what is no request is refused, and a request is sent."""

    async def enqueue() -> list[Any]:
        queue = aio.connect(
            made.queue.destination, redis_url=redis_url, enqueue_timeout_seconds=5.0
        )
        receipts = await queue.enqueue_many([{"d": {}}, made.event(1)])
        await queue.aclose()
        return receipts

    receipts = asyncio.run(enqueue())
    made.deliver_all()

    assert [receipt.reason for receipt in receipts] == ["not_single", None]
    assert made.bodies() == [body(1)]


def dead(made: Singles) -> None:
    """Make dead letters of two events of different names."""
    assert all(made.queue.enqueue_many([made.event(1, "purchase"), made.event(2, "signup")]))
    while isinstance(batch := made.shard.claim(token="", lease_seconds=60), Batch):
        assert made.shard.dead_letter(batch, error="VWO answered 400")


def test_dead_letters_are_found_by_what_they_hold(made: Singles) -> None:
    """The words of a filter on events look into the request's body."""
    dead(made)
    registered = made.fleet.registrations().readable

    found = list(find_dead(made.fleet, registered, Filter.parse("event:signup")))
    visitors = list(find_dead(made.fleet, registered, Filter.parse(f"visitor:{'A' * 32}")))

    assert [each.events for each in found] == [1]
    assert len(visitors) == 2


def test_what_is_shown_and_exported_has_no_key_in_the_target(made: Singles, tmp_path: Any) -> None:
    """`peek` and an export have the whole request; a key is only in the event's own body."""
    dead(made)
    url = made.queue.settings.redis_url
    file = tmp_path / "dead.jsonl"

    shown = run_command(["--redis-url", url, "peek", made.queue.name, "--state", "dead"])
    exported = run_command(["--redis-url", url, "dead", "export", "--output", str(file)])

    assert (shown.exit_code, exported.exit_code) == (0, 0), shown.output + exported.output
    for text in (shown.stdout, file.read_text("utf-8")):
        assert "/events/t?p=FS&en=signup" in text.replace("\\u0026", "&")
        assert f"env={KEY}" not in text
        assert "203.0.113.7" in text


def test_an_export_is_imported_and_sent_as_it_was(made: Singles, tmp_path: Any) -> None:
    """Single events come back from a file, and leave byte for byte."""
    dead(made)
    command = ["--redis-url", made.queue.settings.redis_url, "dead"]
    file = str(tmp_path / "dead.jsonl")

    codes = [
        run_command([*command, *words]).exit_code
        for words in (
            ["export", "--output", file],
            ["purge", "--yes"],
            ["import", file],
            ["redrive"],
        )
    ]
    made.deliver_all()

    assert codes == [0, 0, 0, 0]
    assert sorted(made.bodies()) == sorted([body(1, "purchase"), body(2, "signup")])


def test_a_host_that_this_worker_may_not_send_to_gets_nothing(
    redis_url: str, standin: Standin
) -> None:
    """Hosts are allowed as for batches: another one gets no request, and the events wait."""
    made = Singles(redis_url, standin)
    settings = vwo_celery.Settings(redis_url=redis_url)
    made.enqueue(1)

    deliver(Worker(made.fleet, settings, lambda wakeup: None), Wakeup(made.queue.name, 0, ""))

    assert standin.requests == []
    assert made.state.events("ready") == 1


def test_events_that_name_another_account_are_not_moved(made: Singles, standin: Standin) -> None:
    """A move looks at the account in the target and at the key in the body."""
    dead(made)
    registered = made.fleet.registrations().readable
    source = registered[made.queue.name]
    settings = made.queue.settings

    with pytest.raises(vwo_celery.errors.MoveRefused, match="names another account"):
        move_plans.plan_to_changed(
            made.fleet, settings, registered, source, move_plans.Changes(account_id="999999")
        )
    with pytest.raises(vwo_celery.errors.MoveRefused, match="carries the SDK key"):
        move_plans.plan_to_changed(
            made.fleet, settings, registered, source, move_plans.Changes(sdk_key="f" * 32)
        )
    move_plans.plan_to_changed(
        made.fleet, settings, registered, source, move_plans.Changes(region="as01")
    )
