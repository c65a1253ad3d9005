"""`vwo-celery top` while Redis is away: since when and why, the last numbers, and how it heals."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tools.queue_states import Queues
from tools.terminals import Terminal, in_terminal, source_of
from vwo_celery.testing import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of this test's own, which it may stop."""
    with RedisServer(arguments=("--appendonly", "yes")) as running:
        yield running


def silence(text: str) -> int:
    """For how many seconds Redis has not answered, as it is shown; -1 if it is not shown."""
    told = re.search(r"Redis has not answered for (\d+) s", text)
    return int(told[1]) if told else -1


def with_events(server: RedisServer) -> Queues:
    """Seven events, in a queue of five a batch."""
    queues = Queues(server.url)
    queues.fill(queues.add(), 7)
    return queues


def test_a_redis_that_stands_still_is_told_and_heals(server: RedisServer) -> None:
    """While its process is stopped, the last numbers stay; afterwards those of then are shown."""
    queues = Queues(server.url)
    queue = queues.add()
    queues.fill(queue, 7)

    async def use(terminal: Terminal) -> None:
        await terminal.until("waiting  now 7")
        server.pause()
        desk = terminal.app.desk
        await terminal.until(lambda: desk.away and desk.trouble is None)  # before the look fails
        text = await terminal.until(lambda: silence(terminal.text) >= 3)
        assert queue.name in text
        assert "waiting  now 7" in text
        await terminal.until(lambda: silence(terminal.text) >= 5)
        server.resume()
        await terminal.until(lambda: "has not answered" not in terminal.text)
        queues.fill(queue, 2)
        await terminal.until("waiting  now 9")

    in_terminal(source_of(server.url), use)


def test_a_redis_that_restarts_is_told_why(server: RedisServer) -> None:
    """The reason and what to do about it are shown, and it goes on by itself."""
    with_events(server)

    async def use(terminal: Terminal) -> None:
        await terminal.until("waiting  now 7")
        server.kill()
        text = await terminal.until(lambda: silence(terminal.text) >= 1)
        assert "nothing listens at the address of Redis" in text
        assert "Start it, or correct host and port" in text
        server.start()
        await terminal.until(lambda: "has not answered" not in terminal.text)
        await terminal.until("waiting  now 7")

    in_terminal(source_of(server.url), use)


def test_it_starts_while_redis_is_away(server: RedisServer) -> None:
    """It says so at once, and shows the queues as soon as there are any."""
    with_events(server)
    server.kill()

    async def use(terminal: Terminal) -> None:
        await terminal.until("Redis has not answered for")
        server.start()
        await terminal.until("waiting  now 7")

    in_terminal(source_of(server.url), use)


def test_a_key_pressed_meanwhile_does_nothing_later(server: RedisServer) -> None:
    """It says why it cannot, and nothing happens once Redis is back."""
    queues = with_events(server)

    async def use(terminal: Terminal) -> None:
        await terminal.until("waiting  now 7")
        server.kill()
        await terminal.until("has not answered")
        await terminal.press("f")
        await terminal.until("refused")
        server.start()
        await terminal.until(lambda: "has not answered" not in terminal.text)

    in_terminal(source_of(server.url), use)

    assert queues.views()[0].open == 2


def test_the_wait_for_redis_holds_up_no_key(server: RedisServer) -> None:
    """While a look hangs, screens open and close, and q ends it."""
    with_events(server)

    async def use(terminal: Terminal) -> None:
        await terminal.until("waiting  now 7")
        server.pause()
        await terminal.until("has not answered")
        await terminal.press("question_mark")
        await terminal.until("quit; nothing that goes on in the queues ends by it")
        await terminal.press("q")
        await terminal.until(lambda: terminal.app.return_code == 0)
        server.resume()

    in_terminal(source_of(server.url), use)
