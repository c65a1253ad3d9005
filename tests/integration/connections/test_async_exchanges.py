"""The direct way to Redis for asyncio: packed bytes over one connection, each answer to its command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis as redis_py
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from vwo_celery.connections import open_async_client
from vwo_celery.connections.resp import pack
from vwo_celery.testing import RedisServer

PATIENT_SECONDS, SOON_SECONDS = 10.0, 0.1
CLIENT_ID = pack(("CLIENT", "ID"))


def run(url: str, use: Callable[[Any], Awaitable[Any]], seconds: float = PATIENT_SECONDS) -> Any:
    """What *use* returns with a client of its own."""

    async def with_client() -> Any:
        client = open_async_client(url, timeout_seconds=seconds)
        try:
            return await use(client)
        finally:
            await client.aclose()

    return asyncio.run(with_client())


def echo(text: str) -> bytes:
    """A packed command that Redis answers with *text*."""
    return pack(("ECHO", text))


def test_each_command_has_its_answer(redis_url: str) -> None:
    """Several commands in one exchange are answered in their order; an error is one of the answers."""
    answers = run(redis_url, lambda it: it.exchange(echo("a") + pack(("NO",)) + echo("b"), 3))

    assert isinstance(answers[1], ResponseError)
    assert [answers[0], answers[2]] == [b"a", b"b"]


def test_exchanges_go_over_the_connections_of_the_pool(redis_url: str) -> None:
    """Exchanges one after the other, and redis-py's own commands, use one connection."""

    async def use(client: Any) -> set[Any]:
        ids = {(await client.exchange(CLIENT_ID))[0] for _ in range(3)}
        return ids | {await client.client_id()}

    assert len(run(redis_url, use)) == 1


def test_tasks_get_their_own_answers(redis_url: str) -> None:
    """Many tasks at once read each the answer to its own command."""
    texts = [str(number) for number in range(100)]

    async def use(client: Any) -> list[list[Any]]:
        return await asyncio.gather(*(client.exchange(echo(text)) for text in texts))

    assert run(redis_url, use) == [[text.encode()] for text in texts]


def test_the_answer_of_a_cancelled_task_is_not_read_by_the_next(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """A connection whose task was cancelled before the answer came is closed."""

    async def use(client: Any) -> Any:
        await client.exchange(echo("connected"))
        redis.client_pause(200)
        cancelled = asyncio.create_task(client.exchange(echo("late")))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        return await client.exchange(echo("next"))

    assert run(redis_url, use) == [b"next"]


def test_a_late_answer_is_not_read(redis: redis_py.Redis, redis_url: str) -> None:
    """An answer that comes after the time is over is an error, and is read by nobody."""

    async def use(client: Any) -> Any:
        await client.exchange(echo("connected"))
        redis.client_pause(300)
        with pytest.raises(RedisTimeoutError):
            await client.exchange(echo("late"))
        redis.client_unpause()
        return await client.exchange(echo("next"))

    assert run(redis_url, use, SOON_SECONDS) == [b"next"]


def test_a_connection_that_the_server_closed_is_not_used(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """Once the loop has read the end of a connection, the next exchange opens another."""

    async def use(client: Any) -> tuple[Any, Any]:
        (first,) = await client.exchange(CLIENT_ID)
        (connection,) = client.connection_pool._available_connections
        redis.client_kill_filter(_id=first)
        while not connection._reader.at_eof():
            await asyncio.sleep(0)
        return first, (await client.exchange(CLIENT_ID))[0]

    first, second = run(redis_url, use)

    assert first != second


def test_an_answer_that_nobody_asked_for_is_not_read(redis_url: str) -> None:
    """A connection in which an answer waits is not used as it is."""

    async def use(client: Any) -> Any:
        await client.exchange(echo("connected"))
        (connection,) = client.connection_pool._available_connections
        connection._writer.write(echo("unasked"))
        while not connection._reader._buffer:
            await asyncio.sleep(0)
        return await client.exchange(echo("next"))

    assert run(redis_url, use) == [b"next"]


def test_a_command_that_the_kernel_takes_in_parts(redis_url: str) -> None:
    """A command of many megabytes arrives as a whole."""
    text = "x" * 30_000_000

    assert run(redis_url, lambda it: it.exchange(echo(text))) == [text.encode()]


def test_a_server_that_reads_no_more_is_an_error_in_time(redis_url: str) -> None:
    """A command that the server does not read fails in the client's time, and closes its connection."""
    with RedisServer() as server:

        async def use(client: Any) -> Any:
            await client.exchange(echo("connected"))
            server.pause()
            try:
                with pytest.raises(RedisTimeoutError):
                    await client.exchange(echo("x" * 30_000_000))
            finally:
                server.resume()
            return await client.exchange(echo("next"))

        assert run(server.url, use, 1.0) == [b"next"]
