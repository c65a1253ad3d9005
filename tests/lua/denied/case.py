"""A shard of a user who may not run one command, as a scenario finds and leaves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace
from redis.exceptions import ResponseError

from lua.world import LIMITS, NAMESPACE, QUEUE, Line, World, ours, room_of
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.gates import Gate
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.marks import Mark

USER, PASSWORD = "narrow", "p"
#: Events of a long part, which is copied whole.
LONG = 90
#: Room of which two events have been taken, with a witness for three accepted before.
ROOM_TAKEN = room_of(9, 99, accepted=3, taken=(2, 12))
MANY = replace(LIMITS, batch_bytes=10_000, events_per_request=500)


class Denied:
    """One shard as an administrator prepares it, and the same shard of a user who lacks a command."""

    def __init__(self, world: World, user: Any, command: str) -> None:
        self.world = world
        self.user = user
        self.shard = Shard(ours(user), NAMESPACE, QUEUE, 0)
        self.command = command
        self.pushed: list[tuple[Mark, tuple[bytes, ...]]] = []

    def given(
        self, *, events: int = 3, state: str = "leases", at: int = 60_000, **more: Any
    ) -> None:
        """One batch in a state, two open events, and room for more."""
        texts = [b"%03d" % n for n in range(events)]
        open_events = more.pop("open", [b"open1", b"open2"])
        undelivered = len(open_events) + (0 if state == "dead" else events)
        line = Line(
            attempt=more.pop("attempt", 1), events=events, bytes=4 * events, sealed=self.world.at(-5),
            error="" if state == "dead" else "HTTP 503",
        )  # fmt: skip
        counts = {
            "accepted": len(open_events) + events,
            "events": undelivered,
            "bytes": 6 * len(open_events) + (0 if state == "dead" else 4 * events),
            "dead": events if state == "dead" else 0,
            "open_events": len(open_events),
            "open_bytes": 6 * len(open_events),
            "first_ms": self.world.at(-1),
            "flush_until": self.world.at(600_000),  # so that notes on batches are wanted
        }
        self.world.given(
            limits=more.pop("limits", LIMITS),
            meta={**counts, **more.pop("meta", {})},
            open=open_events,
            batches={"b": texts},
            info={"b": line},
            members={state: {"b": self.world.at(at)}},
        )

    def act(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call without the command; whatever the answer is."""
        self.world.client.execute_command("ACL", "SETUSER", USER, f"-{self.command.lower()}")
        with suppress(QueueUnavailable, ResponseError):
            method(*arguments, **options)
        self.world.client.execute_command("ACL", "SETUSER", USER, f"+{self.command.lower()}")

    def push(
        self, mark: Mark, *events: bytes, notices: Sequence[str] = (), contexts: str = ""
    ) -> None:
        """Push without the command, for the repeat that follows."""
        self.pushed.append((mark, events))
        command = self.shard.push_command(
            mark, events, len(events) + 1, notices=notices, contexts=contexts
        )
        self.act(self.shard.push, command)

    def append(self, mark: Mark, event: bytes) -> None:
        """Append without the command; a push under the same mark follows."""
        self.pushed.append((mark, (event,)))
        self.act(self.shard.append, mark, event)

    def let_in(self, mark: Mark, *events: bytes) -> None:
        """Let events in by the gate, without the command; a push under the same mark follows."""
        self.pushed.append((mark, events))
        gate = Gate(self.shard, from_events=1)
        assert not gate.let_in(Mark("other", 1, 1, stored="0", appends=True), events)  # tries MULTI
        self.act(gate.let_in, mark, events)

    def batch(self) -> Any:
        """The batch as its holder has it."""
        until = self.world.client.zscore(self.world.shard.keys.leases, "b")
        return replace(self.world.batch("b", lease_until_ms=int(until or 0)), help_token="help")


Scenario = Callable[[Denied], None]


def on_batch(**state: Any) -> Callable[[Callable[[Denied], None]], Scenario]:
    """A decorator: the scenario of an act on one batch in that state."""

    def scenario(act: Callable[[Denied], None]) -> Scenario:
        def run(case: Denied) -> None:
            case.given(**state)
            act(case)

        return run

    return scenario


def given_contexts(case: Denied) -> None:
    """Trace contexts of the open list, of the batch, and of one that is gone."""
    k, first = case.world.shard.keys, case.world.client.hget(case.world.shard.keys.meta, "first_ms")
    case.world.client.rpush(k.traces, f"{int(first or 0)}:1:00-a-b-01")
    case.world.client.hset(k.traced, mapping={"b": "1\n00-a-b-01", "gone": "1\n00-a-b-01"})
    for key in k.contexts:
        case.world.client.pexpire(key, 60_000)


def given_mixed(case: Denied) -> None:
    """More events than are counted, so that another program has pushed."""
    case.given(state="ready", at=-2)
    case.world.client.lpush(case.world.shard.keys.open, *[b"f%d" % n for n in range(5)])


def given_room(case: Denied) -> None:
    """Two events appended since room was granted."""
    uncounted = {"accepted": 3, "events": 3, "bytes": 12, "open_events": 0, "open_bytes": 0}
    case.given(state="ready", at=-2, meta={**uncounted, **ROOM_TAKEN})
