"""One change by each door does the same, and leaves the same entry but for who asked.

A page and the API have a worker do bulk work; the commands do it themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import StringIO
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest
from celery import Celery
from django.core.management.base import CommandError

from tools.command_line import run_command
from tools.queue_states import OPERATOR, Queues
from tools.visiting import Browser, document
from vwo_celery import setup
from vwo_celery.celery import control
from vwo_celery.console import Console, Visitor
from vwo_celery.console.actions import ACTIONS
from vwo_celery.django.management.commands.vwo_celery import Command
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.operations import jobs
from vwo_celery.operating.past.audit import changes
from vwo_celery.testing import RedisServer

BATCHES = 3
#: What the commands' documents call what is done.
DONE = {
    "redrive": "redriven", "redrive-events": "redriven", "purge": "purged", "purge-events": "purged",
}  # fmt: skip
#: What of a change tells who asked, where, when, and by which name.
OWN = ("change", "at_ms", "who", "host", "door", "duration_seconds")


class Given(NamedTuple):
    """The state before a change.

    Attributes:
        words: Words of the command that name what is meant.
        order: The same as fields of the console's order.
    """

    words: tuple[str, ...]
    order: Mapping[str, Any]


class Case(NamedTuple):
    """A change: the console's name for it, the words of the command, and the state before it."""

    action: str
    words: str
    given: Callable[[Queues], Given]


@pytest.fixture(scope="module")
def queues() -> Iterator[Queues]:
    """An empty Redis."""
    with RedisServer() as server:
        yield Queues(server.url)


# -- what is there before


def dead(queues: Queues) -> list[str]:
    """A paused queue with dead batches of five; their ids."""
    queue = queues.add()
    queues.fill(queue, 5 * BATCHES)
    found = [queues.kill(queue, "HTTP 413").id for _ in range(BATCHES)]
    queues.shard(queue).pause("lunch", by="operator")
    return found


def all_dead(queues: Queues) -> Given:
    """Dead batches, of which all are meant."""
    dead(queues)
    return Given((), {"until_ms": queues.fleet.now_ms(), "batches": BATCHES})


def one_event(queues: Queues) -> Given:
    """Dead batches, of which the second event of one is meant."""
    batch, *_ = dead(queues)
    return Given(("--batch", batch), {"batch": batch, "places": [2]})


def a_job(queues: Queues) -> Given:
    """A job that waits."""
    job = jobs.order_job(
        queues.fleet, OPERATOR, "purge", operations.Counted(operations.Amount(), 0),
        filter=Filter(), scan_limit=1, pace=operations.Pace(),
    )  # fmt: skip
    return Given((job,), {"job": job})


def of(make: Callable[[Queues, Any], Any]) -> Callable[[Queues], Given]:
    """A queue in a state, of which all is meant."""

    def given(queues: Queues) -> Given:
        queue = queues.add()
        make(queues, queue)
        return Given(("--queue", queue.name), {"queues": [queue.name]})

    return given


def ready(queues: Queues, queue: Any) -> None:
    """A batch of five waits."""
    queues.fill(queue, 5)


def paused(queues: Queues, queue: Any) -> None:
    """It is paused."""
    queues.shard(queue).pause("HTTP 401", by="refusal")


def released(queues: Queues, queue: Any) -> None:
    """VWO did not accept its only batch yet."""
    queues.fill(queue, 5)
    queues.release(queue, "HTTP 503")


CASES = (
    Case("flush", "flush", of(ready)),
    Case("pause", "pause", of(ready)),
    Case("resume", "resume", of(paused)),
    Case("retry", "retry", of(released)),
    Case("redrive", "dead redrive", all_dead),
    Case("purge", "dead purge --yes", all_dead),
    Case("redrive-events", "dead redrive --event 2", one_event),
    Case("purge-events", "dead purge --event 2 --yes", one_event),
    Case("stop", "jobs --stop", a_job),
)


# -- the doors


def by_command(queues: Queues, case: Case, given: Given) -> Any:
    """The document of `vwo-celery`."""
    words = [*case.words.split(), *given.words, "--json", "--redis-url", queues.settings.redis_url]
    return msgspec.json.decode(run_command(words).stdout)


def by_django(queues: Queues, case: Case, given: Given) -> Any:
    """The document of `manage.py vwo_celery`."""
    out, words = StringIO(), [*case.words.split(), *given.words, "--json"]
    with suppress(CommandError):  # its exit code, 1 for a flush that nobody will serve
        Command(stdout=out, no_color=True).handle(
            words=[*words, "--redis-url", queues.settings.redis_url]
        )
    return msgspec.json.decode(out.getvalue())


def by_api(queues: Queues, case: Case, given: Given) -> Any:
    """The document of the API."""
    answer = Browser(queues.settings).post(f"api/v1/{case.action}", given.order)
    assert answer.status == 200, answer.body
    return document(answer)


def by_page(queues: Queues, case: Case, given: Given) -> None:
    """A form of a page."""
    order(Browser(queues.settings), case, given)


def by_admin(queues: Queues, case: Case, given: Given) -> None:
    """The same as Django's admin has it."""
    browser = Browser(queues.settings)
    browser.console = Console(
        queues.settings,
        lambda _: Visitor.in_role("purge", "bob"),
        door="django",
        checks_origin=False,
    )
    order(browser, case, given)


def order(browser: Browser, case: Case, given: Given) -> None:
    """Send the form, and see the page that tells what came of it."""
    assert browser.order(f"do/{case.action}", **given.order).status == 200


def by_control(queues: Queues, case: Case, given: Given) -> Any:
    """The document of `celery control`, which a worker gives."""
    app = Celery("test")
    setup(app, settings=queues.settings)
    (queue,) = given.order["queues"]
    command = getattr(control, f"vwo_{case.action}")
    argument = [queue] if case.action == "flush" else queue
    return msgspec.to_builtins(command(SimpleNamespace(app=app), argument))


DOORS = {
    "cli": by_command, "django": by_django, "api": by_api, "console": by_page, "admin": by_admin,
}  # fmt: skip


#: What the audit has for a door, where that is not its name here.
WRITTEN = {"admin": "django", "control": "celery"}
#: What workers do by `celery control`.
CONTROLLED = ("flush", "pause", "resume")


def end_jobs(queues: Queues) -> None:
    """Do what a worker was told to do."""
    for each in jobs.list_jobs(queues.fleet):
        if each.state == "waiting":
            jobs.run_job(queues.fleet, each.job, "worker:1", lambda: False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.action)
def test_a_change_is_the_same_by_each_door(queues: Queues, case: Case) -> None:
    """What is left in the queues, the audit's entry, and where there is one, the document."""
    documents, records, left = {}, {}, {}
    doors = DOORS | ({"control": by_control} if case.action in CONTROLLED else {})
    for door, go in doors.items():
        queues.client.flushdb()
        given = case.given(queues)

        documents[door] = go(queues, case, given)
        if case.action != "stop":
            end_jobs(queues)

        (change,) = changes(queues.fleet)
        assert change.door == WRITTEN.get(door, door)
        told = {name: each for name, each in msgspec.to_builtins(change).items() if name not in OWN}
        records[door] = nameless(told)
        left[door] = [(view.ready, view.dead, str(view.paused)) for view in queues.views()]
    assert records == dict.fromkeys(doors, records["cli"])
    assert left == dict.fromkeys(doors, left["cli"])
    found = {door: nameless(same(case, documents[door])) for door in doors if documents[door]}
    assert found == dict.fromkeys(found, found["cli"])


def same(case: Case, told: Any) -> Any:
    """What each document of a change has: of bulk work, which a worker may do, its amount."""
    if case.action == "stop":
        (job,) = told if isinstance(told, list) else [told]
        return {name: each for name, each in job.items() if name not in ("heard_ms", "ordered_ms")}
    if case.action in ("redrive", "purge"):
        return told.get("counted") or told[DONE[case.action]]
    if case.action in DONE:
        return told["rest"], told.get("events") or told[DONE[case.action]]["events"]
    return told


def nameless(told: Any) -> Any:
    """What is told, with one word for each random name."""
    text = msgspec.json.encode(told).decode()
    return msgspec.json.decode(re.sub(r"[0-9a-f]{20}[0-9a-f.+]*", "NAME", text))


def test_every_action_of_the_console_is_tried() -> None:
    """But for the export, which changes nothing."""
    assert {case.action for case in CASES} == ACTIONS.keys() - {"export"}
