"""Redis' protocol: commands as redis-py packs them, and answers however they are cut on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError

from vwo_celery.connections.resp import bulk, pack, read_replies

values = st.recursive(
    st.none() | st.integers() | st.binary(max_size=9) | st.just(ResponseError("WRONGTYPE a")),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


def written(value: Any) -> bytes:
    """A value as Redis sends it."""
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(written, value))
    if isinstance(value, Exception):
        return b"-%b\r\n" % str(value).encode()
    if isinstance(value, int):
        return b":%d\r\n" % value
    return b"$-1\r\n" if value is None else bulk(value)


def cut(data: bytes, at: list[int]) -> Callable[[int], bytes]:
    """A socket's `recv` that brings *data* in pieces of these lengths, and then its end."""
    lengths = iter(at)
    rest = [data]

    def receive(most: int) -> bytes:
        length = min(most, next(lengths, most))
        piece, rest[0] = rest[0][:length], rest[0][length:]
        return piece

    return receive


def read(data: bytes, replies: int = 1) -> list[Any]:
    """The answers in *data*."""
    return read_replies(cut(data, []), replies, ResponseError)


@given(st.lists(st.text() | st.binary() | st.integers(), min_size=1))
def test_commands_are_packed_as_redis_py_packs_them(words: list[Any]) -> None:
    """A packed command has the bytes that redis-py would send; its words may be packed one by one."""
    connection = redis_py.Connection()
    words[0] = "EVALSHA"

    packed = pack(words)

    assert packed == b"".join(connection.pack_command(*words))
    assert packed == b"*%d\r\n" % len(words) + b"".join(map(bulk, words))


@given(st.lists(values, min_size=1, max_size=4), st.lists(st.integers(1, 5)))
def test_answers_are_read_however_they_are_cut(sent: list[Any], pieces: list[int]) -> None:
    """Each answer is read as it was sent, in whatever pieces it comes."""
    data = b"".join(map(written, sent))

    answers = read_replies(cut(data, pieces), len(sent), ResponseError)

    assert repr(answers) == repr(sent)


def test_a_status_is_read() -> None:
    """An answer such as OK is its text."""
    assert read(b"+OK\r\n:2\r\n", 2) == [b"OK", 2]


@pytest.mark.parametrize("data", [b"", b":1", b"$3\r\nab", b"*2\r\n:1\r\n", b":1\r\n"])
def test_a_connection_that_ends_too_early_is_an_error(data: bytes) -> None:
    """Where the server closes the connection before the last answer, nothing is made up."""
    with pytest.raises(RedisConnectionError):
        read(data, 2)


@pytest.mark.parametrize("data", [b":1\r\n:1\r\n", b":7\r\n+", b"-ERR a\r\n:1\r\n"])
def test_more_than_was_asked_for_is_an_error(data: bytes) -> None:
    """An answer too many is another command's: none of them is believed."""
    with pytest.raises(RedisConnectionError):
        read(data)


def test_another_protocol_is_an_error() -> None:
    """What is no RESP2, such as a push of RESP3 or HTTP, is no answer."""
    for data in (b">2\r\n+a\r\n+b\r\n", b"HTTP/1.1 400 Bad Request\r\n"):
        with pytest.raises(InvalidResponse):
            read(data)


def test_an_error_by_which_the_server_closes_is_raised() -> None:
    """An error such as LOADING says that the server serves nobody: it is no command's answer."""
    with pytest.raises(RedisConnectionError, match="LOADING"):
        read_replies(cut(b"-LOADING a\r\n", []), 1, RedisConnectionError)
