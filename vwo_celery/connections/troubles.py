"""The kinds of trouble with Redis, told apart by its errors.

Beneath the clients, on top of `remedies`, and the one place that knows what an error means: the doctor,
every command's error line and every log ask here. It reads types and texts of redis-py, of
sockets and of Redis' own answers, which a script passes on as text. No state, nothing to lose.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    InvalidResponse,
    MasterDownError,
    MaxConnectionsError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import MasterNotFoundError

from vwo_celery.connections.remedies import REDIS_URL, TROUBLES, Trouble
from vwo_celery.errors import QueueUnavailable

#: Words of Redis 6.2 and 7.0, and of later ones, for a command or key that a script's user may not use.
DENIED_IN_SCRIPT: Final = ("The user executing the script can't", "ACL failure in script")
#: Words in the error for any other command, key or channel that a user may not use: the second are those
#: of Redis 8 for keys and channels. Also in the answer to EXEC.
_DENIED: Final = ("has no permissions", "No permissions to access")
_USER: Final = re.compile(r"\bUser (\S+) has no permissions")  # not told before Redis 8
_COMMAND: Final = re.compile(r"\brun the '([\w|]+)' command")
#: Links of a chain of exceptions that are looked at.
_LONGEST_CHAIN: Final = 10


class MasterUnknown(MasterNotFoundError):
    """The Sentinels name no master, or are about to name another; its cause is what one of them said."""


class TlsFileUnusable(RedisConnectionError):
    """A file that an option of TLS names cannot be read, or holds something else; names both."""


#: Types of exceptions that tell the trouble; the first that fits counts.
_TYPES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (MasterUnknown, "master"),
    (TlsFileUnusable, "file"),
    (AuthenticationError, "password"),
    (BusyLoadingError, "loading"),
    (ReadOnlyError, "replica"),
    (OutOfMemoryError, "memory"),
    (MasterDownError, "replica"),
    (ClusterDownError, "cluster"),
    (TryAgainError, "moving"),
    (MovedError, "of_cluster"),
    (ClusterCrossSlotError, "of_cluster"),
    (InvalidResponse, "url"),
)
#: The same for what is no answer: errors of sockets are behind those of redis-py and of brokers.
_OF_CONNECTIONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ssl.SSLError, "tls"),
    (socket.gaierror, "name"),
    (ConnectionRefusedError, "refused"),
    (FileNotFoundError, "refused"),  # of a socket that is a file
    (PermissionError, "forbidden"),
    (TimeoutError, "timeout"),
    (RedisTimeoutError, "timeout"),
    (MaxConnectionsError, "pool"),
    (RedisConnectionError, "lost"),
    (RedisClusterException, "cluster"),
    (ValueError, "url"),
)
#: Words in the texts of Redis' answers, and of sockets whose exception is lost on the way.
_WORDS: Final = (
    ("WRONGPASS", "password"), ("NOAUTH", "password"), ("ACCESS_REFUSED", "password"),
    ("unauthenticated", "password"),  # instead of NOAUTH, where a command is long
    ("OOM ", "memory"), ("READONLY", "replica"), ("MASTERDOWN", "replica"), ("LOADING", "loading"),
    ("WRONGTYPE", "type"), ("max number of clients", "clients"), ("CLUSTERDOWN", "cluster"),
    ("MISCONF", "disk"), ("NOREPLICAS", "replicas"), ("BUSY ", "busy"),
    ("protected mode", "protected"), ("DB index is out of range", "database"),
    ("SELECT is not allowed in cluster mode", "of_cluster"), ("No such master", "service"),
    ("MOVED ", "of_cluster"), ("CROSSSLOT ", "of_cluster"),  # by redis-py 5.0's clients of one server
    ("cluster support disabled", "no_cluster"), ("Cluster mode is not enabled", "no_cluster"),
    ("unknown command", "unknown"), ("Unknown Redis command", "unknown"),
    ("Too many connections", "pool"), ("No route to host", "unreachable"),
    ("Network is unreachable", "unreachable"),
    ("Connection refused", "refused"), ("Name or service not known", "name"),
    ("No address associated", "name"), ("name resolution", "name"), ("CERTIFICATE_", "tls"),
    ("WRONG_VERSION_NUMBER", "tls"), ("handshake operation timed out", "tls"),
)  # fmt: skip
#: A file that is missing, told of a port: it is one of TLS, and no socket. Brokers say no more.
_NO_FILE: Final = re.compile(
    r"connecting to \S+:\d+\. (No such file|Is a directory|Permission denied)"
)
#: What the Sentinels' own troubles are called, by what they are called of the Redis behind them.
_OF_SENTINELS: Final = {
    "unknown": "no_sentinel", "refused": "sentinels", "lost": "sentinels",
    "password": "sentinel_password", "other": "master",
}  # fmt: skip


def trouble_of(exc: BaseException) -> Trouble:
    """The kind of trouble that an exception of Redis, or one made of it, tells of."""
    chain = list(_chain(exc))
    for each in chain:
        if isinstance(each, MasterUnknown) and each.__cause__ is not None:
            word = trouble_of(each.__cause__).word
            return TROUBLES[_OF_SENTINELS.get(word, word)]
    text = " ".join(str(each) for each in chain)
    if is_denied(text):
        return TROUBLES["denied"]
    if _NO_FILE.search(text):
        return TROUBLES["file"]
    word = (
        _by_type(chain, _TYPES)
        or next((word for words, word in _WORDS if words in text), "")
        or _by_type(chain, _OF_CONNECTIONS)
    )
    return TROUBLES[word or "other"]


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """The exception and those it was made of; what merely came before an answer is left out."""
    each: BaseException | None = exc
    for _ in range(_LONGEST_CHAIN):
        if each is None:
            return
        yield each
        answered = isinstance(each, ResponseError) and not isinstance(each, QueueUnavailable)
        each = each.__cause__ or (None if answered else each.__context__)


def _by_type(chain: list[BaseException], types: tuple[tuple[type[BaseException], str], ...]) -> str:
    return next((word for kind, word in types for each in chain if isinstance(each, kind)), "")


def is_denied(exc: BaseException | str) -> bool:
    """Whether Redis works and its user may not do what was tried; *exc* may be an error's text."""
    return any(words in str(exc) for words in (*_DENIED, "NOPERM", *DENIED_IN_SCRIPT))


def note_user(exc: object, options: Mapping[str, Any]) -> None:
    """Keep the name of the user with an error about its rights: Redis before 8 does not tell it.

    Args:
        exc: An answer; what is no error is left alone.
        options: Those of the connection, for redis-py.
    """
    if not isinstance(exc, BaseException):
        return
    for each in _chain(exc):
        if is_denied(each):
            each.redis_user = str(options.get("username") or "default")  # type: ignore[attr-defined]


def who_may_not(exc: BaseException) -> str:
    """Who may not do what, as far as the error tells, such as "Redis user 'web' may not run LPUSH"."""
    text, user = _denial(exc)
    command = _COMMAND.search(text)
    if command:
        what = f"run {command[1].upper()}"
    elif "command" in text:
        what = "run a command of a script"
    else:
        what = "use a channel" if "channel" in text else "use a key"
    return f"{f'Redis user {user!r}' if user else 'the Redis user'} may not {what}"


def _denial(exc: BaseException) -> tuple[str, str]:
    """Text and user of what was denied; "" for a user who is not told."""
    chain = list(_chain(exc))
    texts = [str(each) for each in chain if isinstance(each, ResponseError) and is_denied(each)]
    text = texts[-1] if texts else str(exc)
    told = _USER.search(text)
    noted = (getattr(each, "redis_user", "") for each in chain)
    return text, told[1] if told else next(filter(None, noted), "")


def right_for(exc: BaseException) -> str:
    """The line for redis-cli that gives the one right that an error says is missing; "" if it says none.

    Where Redis does not tell whose right, the line has USER in his place.
    """
    text, user = _denial(exc)
    command = _COMMAND.search(text)
    return f"ACL SETUSER {user or 'USER'} +{command[1].lower()}" if command else ""


def remedy_of(exc: BaseException, setting: str = REDIS_URL) -> str:
    """What to do about a Redis that cannot be used.

    Args:
        exc: The error, or what it was made into.
        setting: Words for the setting with the address.
    """
    return trouble_of(exc).remedy_for(setting)
