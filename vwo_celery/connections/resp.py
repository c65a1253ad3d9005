"""RESP, Redis' protocol, as far as the direct way needs it: commands packed, and answers read.

Beneath `exchanges`; no state, nothing to lose. Source:
https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

#: Number of lengths whose heads are kept.
_MOST_HEADS: Final = 4096
#: Most bytes that are read at once; the answers of scripts are far shorter.
_READ_BYTES: Final = 4096
_CLOSED: Final = "Redis has closed the connection"


def pack(words: Iterable[str | bytes | int]) -> bytes:
    """One command as Redis reads it, an array of bulk strings."""
    texts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    bulks = chain.from_iterable(zip(map(_HEADS.__getitem__, map(len, texts)), texts, strict=True))
    return b"".join((b"*%d" % len(texts), *bulks, b"\r\n"))


class _Heads(dict[int, bytes]):
    """What stands before a word of so many bytes, after the word before; the usual ones are kept."""

    def __missing__(self, length: int) -> bytes:
        head = b"\r\n$%d\r\n" % length
        if length < _MOST_HEADS:
            self[length] = head
        return head


_HEADS = _Heads()


def bulk(word: str | bytes | int) -> bytes:
    """One word of a command; a text is sent as UTF-8."""
    text = word if isinstance(word, bytes) else str(word).encode()
    return b"$%d\r\n%b\r\n" % (len(text), text)


def read_replies(
    receive: Callable[[int], bytes], replies: int, error: Callable[[str], Exception]
) -> list[Any]:
    """Read the answers to commands from a socket, and nothing that follows them.

    Args:
        receive: A socket's `recv`.
        replies: Their number.
        error: Makes the exception of an error's text.

    Returns:
        The answers: int, bytes, None, lists of them, or the exception that *error* made.

    Raises:
        redis.exceptions.ConnectionError: The server has closed the connection, or says by an error
            that it does; more than the answers came.
        redis.exceptions.InvalidResponse: What came is no RESP2.
        OSError: As the socket raises it.
    """
    data = receive(_READ_BYTES)
    if data == b":1\r\n" and replies == 1:
        return [1]  # in nearly all cases
    reading = _Reading(receive, data, error)
    answers = [reading.value() for _ in range(replies)]
    reading.end()
    return answers


class _Reading:
    """What has been read from a socket, and how far it is understood."""

    def __init__(
        self, receive: Callable[[int], bytes], data: bytes, error: Callable[[str], Exception]
    ) -> None:
        self._receive = receive
        self._data = data
        self._at = 0
        self._error = error
        if not data:
            raise RedisConnectionError(_CLOSED)

    def value(self) -> Any:
        """The next value."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        if kind == b"-":
            return self._refusal(rest)
        if kind not in (b"$", b"*"):
            raise InvalidResponse(f"Redis answered with {kind!r}, which is no RESP2")
        if rest == b"-1":
            return None
        return self._text(int(rest)) if kind == b"$" else [self.value() for _ in range(int(rest))]

    def end(self) -> None:
        """Raise if anything follows: the connection was not where it should have been."""
        if self._at != len(self._data):
            raise RedisConnectionError("Redis answered more than it was asked")

    def _refusal(self, text: bytes) -> Exception:
        exc = self._error(text.decode("utf-8", "replace"))
        if isinstance(exc, RedisConnectionError):
            raise exc
        return exc

    def _line(self) -> bytes:
        while (end := self._data.find(b"\r\n", self._at)) < 0:
            self._more()
        line, self._at = self._data[self._at : end], end + 2
        return line

    def _text(self, length: int) -> bytes:
        while len(self._data) < self._at + length + 2:
            self._more()
        text = self._data[self._at : self._at + length]
        self._at += length + 2
        return text

    def _more(self) -> None:
        more = self._receive(_READ_BYTES)
        if not more:
            raise RedisConnectionError(_CLOSED)
        self._data += more
