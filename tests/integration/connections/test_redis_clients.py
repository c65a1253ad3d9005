"""Clients for Redis: settings from the URL, and who retries a command for how long."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from vwo_celery.connections import clients as connections
from vwo_celery.connections import unavailable
from vwo_celery.connections.clients import open_client, open_worker_client
from vwo_celery.connections.retries import Retries
from vwo_celery.errors import QueueUnavailable
from vwo_celery.testing.waiting import free_port

#: Longest time in seconds that a client without retries needs if nobody answers, on any machine.
SOON_SECONDS = 3.0


def failing(error: Exception) -> tuple[Any, list[int]]:
    """A function that fails, and the list of its calls."""
    calls: list[int] = []

    def attempt() -> None:
        calls.append(1)
        raise error

    return attempt, calls


def test_without_retries_there_is_one_attempt() -> None:
    """Retries for 0 seconds are one attempt, whose error is raised."""
    attempt, calls = failing(RedisConnectionError("gone"))

    with pytest.raises(RedisConnectionError, match="gone"):
        Retries(0).run(attempt)

    assert len(calls) == 1


def test_retries_end() -> None:
    """Retries end after their time with the last error."""
    attempt, calls = failing(RedisConnectionError("gone"))
    started = time.monotonic()

    with pytest.raises(RedisConnectionError, match="gone"):
        Retries(0.3).run(attempt)

    assert len(calls) > 2
    assert 0.3 <= time.monotonic() - started < SOON_SECONDS


def test_what_redis_refuses_is_not_repeated() -> None:
    """A command that Redis answers with an error is not repeated."""
    attempt, calls = failing(ResponseError("WRONGTYPE"))

    with pytest.raises(ResponseError):
        Retries(60).run(attempt)

    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["", "+sentinel", "+cluster"])
def test_a_worker_gives_up_in_time(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nobody answers, a worker's client retries for its time, not for that time squared."""
    monkeypatch.setattr(connections, "WORKER_RETRY_SECONDS", 0.5)
    client = open_worker_client(f"redis{kind}://127.0.0.1:{free_port()}")
    started = time.monotonic()

    with pytest.raises(QueueUnavailable), unavailable("a try"):
        client.hget("a", "b")

    assert 0.5 <= time.monotonic() - started < SOON_SECONDS


@pytest.mark.parametrize("kind", ["", "+sentinel", "+cluster"])
def test_a_producer_does_not_wait(kind: str) -> None:
    """If nobody answers, a producer's client reports it at once."""
    client = open_client(f"redis{kind}://127.0.0.1:{free_port()}", timeout_seconds=0.1)
    started = time.monotonic()

    with pytest.raises(QueueUnavailable), unavailable("a try"):
        client.hget("a", "b")

    assert time.monotonic() - started < SOON_SECONDS


def test_passwords_of_sentinel_and_master() -> None:
    """A URL's password is that of the servers; Sentinels have their own, and share the timeout."""
    url = "rediss+sentinel://ann:p%40ss@a,b,c/events?sentinel_password=s3cret&sentinel_username=bob"

    pool = open_client(url, timeout_seconds=0.3).connection_pool

    asked = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
    assert [(each["username"], each["password"]) for each in asked] == [("bob", "s3cret")] * 3
    assert [each["socket_timeout"] for each in asked] == pytest.approx([0.1] * 3)
    served = pool.connection_kwargs
    assert (served["username"], served["password"]) == ("ann", "p@ss")
    assert served["socket_timeout"] == 0.3
