"""Text from outside, secrets and costs of `vwo-celery top`: nothing is obeyed, shown or read too much."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tools.queue_states import Queues
from tools.redis_commands import commands_sent, reads_batches
from tools.terminals import OPERATOR, Terminal, in_terminal, source_of
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_waiting
from vwo_celery.operating.batches.found import WHY_NO_ATTEMPTS
from vwo_celery.top.looking.scenes import Scene, Trouble
from vwo_celery.top.looking.watching import Watch

pytestmark = pytest.mark.declared_keys("*")
#: A reason that would move the cursor, turn the text around, colour it, and end the picture.
REASON = "\x1b[2J[red]\u202eno[/red]</text><script>&\n\x00[@click=app.quit]quit[/]"
SHOWN = r"\x1b[2J[red]\u202eno[/red]</text><script>&\n\x00[@click=app.quit]"


def test_nothing_from_outside_is_obeyed(queues: Queues, redis_url: str) -> None:
    """Reasons and events are shown as they are, letter by letter, on every screen that has them."""
    queue = queues.add()
    assert all(queue.enqueue_many([{"d": {"event": {"name": REASON}, "visId": REASON}}] * 5))
    queues.kill(queue, REASON)
    pictures: list[str] = []

    async def use(terminal: Terminal) -> None:
        await terminal.until("fme-")
        await terminal.press("g", "d")
        assert SHOWN in await terminal.until("by VWO's answer")
        pictures.append(terminal.svg)
        await terminal.press("enter")
        assert SHOWN in await terminal.until("events 1 to 5")
        pictures.append(terminal.svg)
        await terminal.press("enter")
        await terminal.until('"visId"')
        pictures.append(terminal.svg)

    in_terminal(source_of(redis_url), use, size=(200, 40))

    for picture in pictures:
        ElementTree.fromstring(picture)
        assert "\x1b" not in picture
        assert "\u202e" not in picture


def test_a_dead_letter_without_an_attempt_of_its_own_says_so(
    queues: Queues, redis_url: str
) -> None:
    """No 0 stands where somebody expects a number, in the list and at the batch."""
    queues.fill(queues.add(), 5)
    found = find_waiting(queues.fleet, queues.registered, Filter())
    operations.add_dead(queues.fleet, OPERATOR, list(found), "as it is")

    async def use(terminal: Terminal) -> None:
        await terminal.until("fme-")
        await terminal.press("g", "d")
        assert "none alone" in await terminal.until(WHY_NO_ATTEMPTS)
        await terminal.press("enter")
        assert "no attempt alone" in await terminal.until(WHY_NO_ATTEMPTS)

    in_terminal(source_of(redis_url), use, size=(250, 40))


def test_a_password_is_masked(redis_url: str) -> None:
    """The head names the Redis without its password."""
    source = source_of(redis_url.replace("redis://", "redis://someone:sekrit@"))

    async def use(terminal: Terminal) -> None:
        assert "sekrit" not in await terminal.until("Redis has not answered")

    in_terminal(source, use, size=(200, 40))


def test_a_look_reads_no_backlog(queues: Queues, redis_url: str) -> None:
    """Looking at many batches sends what looking at few sends."""
    queue = queues.add()
    sent: list[list[str]] = []
    for events in (5, 2_000):
        queues.fill(queue, events)
        seen: list[Scene | Trouble | Exception] = []
        watch = Watch(source_of(redis_url), 1.0, seen.append)
        with commands_sent(queues.client) as texts:
            watch._turn()
            sent.append([*texts()])
        assert isinstance(seen[0], Scene), seen
        assert seen[0].waiting == queues.view(queue).undelivered

    assert not [text for text in sent[1] if reads_batches(text)]
    assert len(sent[0]) == len(sent[1])
