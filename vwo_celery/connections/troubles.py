"""The kinds of trouble with Redis, told apart by its errors; each with its words and its remedy.

Beneath the clients, and the one place that knows what an error means: the doctor, every command's
error line and every log take their words from here. It reads types and texts of redis-py, of
sockets and of Redis' own answers, which a script passes on as text. No state, nothing to lose.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import MasterNotFoundError

from vwo_celery.errors import QueueUnavailable

#: The setting that names our Redis, as remedies spell it.
REDIS_URL: Final = "redis_url (VWO_CELERY_REDIS_URL)"
#: Words of Redis 6.2 and 7.0, and of later ones, for a command or key that a script's user may not use.
DENIED_IN_SCRIPT: Final = ("The user executing the script can't", "ACL failure in script")
#: Words in the error for any other command, key or channel that a user may not use: the second are those
#: of Redis 8 for keys and channels. Also in the answer to EXEC.
_DENIED: Final = ("has no permissions", "No permissions to access")
_USER: Final = re.compile(r"\bUser (\S+) has no permissions")  # not told by Redis 6.2
_COMMAND: Final = re.compile(r"\brun the '([\w|]+)' command")
#: Links of a chain of exceptions that are looked at.
_LONGEST_CHAIN: Final = 10


class MasterUnknown(MasterNotFoundError):
    """The Sentinels name no master, or are about to name another."""


class Trouble(NamedTuple):
    """One kind of trouble.

    Attributes:
        word: Its name.
        says: What is true, to stand before the error's own text.
        remedy: What to do; "URL" in it stands for the setting with the address.
    """

    word: str
    says: str
    remedy: str

    def remedy_for(self, setting: str = REDIS_URL) -> str:
        """What to do about the server that *setting* names."""
        return self.remedy.replace("URL", setting)


_ALL: Final = (
    Trouble(
        "refused", "nothing listens at the address of Redis",
        "start it, or correct host and port in URL",
    ),
    Trouble("name", "the name of Redis' host is not found", "correct the host in URL, or mend DNS"),
    Trouble(
        "timeout", "Redis does not answer in time",
        "see whether that machine is overloaded, swaps or stands still, whether a slow command holds "
        "it up (redis-cli SLOWLOG GET), and whether a firewall drops packets",
    ),
    Trouble(
        "tls", "TLS to Redis fails",
        "see that the server speaks TLS on that port (rediss:// in URL), that its certificate is for "
        "that host and not over, and that ssl_ca_certs names who signed it",
    ),
    Trouble(
        "password", "Redis does not accept the user or the password",
        "correct user and password in URL; Redis itself works",
    ),
    Trouble(
        "denied", "the Redis user may not do what was tried",
        "give the user these rights; vwo-celery doctor prints the line (permissions)",
    ),
    Trouble("memory", "Redis is out of memory", "give it more (CONFIG SET maxmemory), or drain queues"),
    Trouble(
        "replica", "that Redis is a replica, which takes no writes",
        "name the primary in URL, or use redis+sentinel://",
    ),
    Trouble(
        "loading", "Redis is loading its data after a start",
        "wait, events are kept; it ends by itself (redis-cli INFO persistence says when)",
    ),
    Trouble(
        "type", "a key of ours has a wrong type",
        "somebody wrote it: vwo-celery doctor names it; look at it, then remove it",
    ),
    Trouble(
        "clients", "Redis lets no further client in",
        "raise its maxclients (CONFIG SET maxclients), or see who holds so many connections "
        "(redis-cli CLIENT LIST)",
    ),
    Trouble(
        "cluster", "the Redis Cluster is down",
        "start the missing nodes: redis-cli CLUSTER NODES names them",
    ),
    Trouble(
        "disk", "Redis cannot write to its disk, and takes no events",
        "see the disk's space and the server's log; it takes events again after the next save",
    ),
    Trouble(
        "replicas", "Redis has too few replicas to take writes",
        "start its replicas, or lower min-replicas-to-write",
    ),
    Trouble(
        "busy", "Redis is busy with a script",
        "wait; if it does not end, find whose it is, then: redis-cli SCRIPT KILL",
    ),
    Trouble(
        "master", "the Sentinels know no master",
        "wait some seconds, Redis need not be started: a replica takes over. If none does, ask a "
        "Sentinel: SENTINEL CKQUORUM and SENTINEL REPLICAS with the service's name, and see its log",
    ),
    Trouble(
        "lost", "the connection to Redis failed",
        "see whether Redis was restarted, or something between closes connections, and whether URL "
        "names a port of Redis, without TLS (redis://) or with it (rediss://)",
    ),
    Trouble("url", "the URL leads to no Redis", "correct URL"),
    Trouble("other", "Redis answered", "see the server's log"),
)  # fmt: skip
TROUBLES: Final = {each.word: each for each in _ALL}
#: Types of exceptions that tell the trouble; the first that fits counts.
_TYPES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (MasterUnknown, "master"),
    (AuthenticationError, "password"),
    (BusyLoadingError, "loading"),
    (ReadOnlyError, "replica"),
    (OutOfMemoryError, "memory"),
    (MasterDownError, "replica"),
    (ClusterDownError, "cluster"),
)
#: The same for what is no answer: errors of sockets are behind those of redis-py and of brokers.
_OF_CONNECTIONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ssl.SSLError, "tls"),
    (socket.gaierror, "name"),
    (ConnectionRefusedError, "refused"),
    (FileNotFoundError, "refused"),  # of a socket that is a file
    (TimeoutError, "timeout"),
    (RedisTimeoutError, "timeout"),
    (RedisClusterException, "cluster"),
    (RedisConnectionError, "lost"),
    (ValueError, "url"),
)
#: Words in the texts of Redis' answers, and of sockets whose exception is lost on the way.
_WORDS: Final = (
    ("WRONGPASS", "password"), ("NOAUTH", "password"), ("ACCESS_REFUSED", "password"),
    ("unauthenticated", "password"),  # instead of NOAUTH, where a command is long
    ("OOM ", "memory"), ("READONLY", "replica"), ("MASTERDOWN", "replica"), ("LOADING", "loading"),
    ("WRONGTYPE", "type"), ("max number of clients", "clients"), ("CLUSTERDOWN", "cluster"),
    ("MISCONF", "disk"), ("NOREPLICAS", "replicas"), ("BUSY ", "busy"),
    ("Connection refused", "refused"), ("Name or service not known", "name"),
    ("No address associated", "name"), ("name resolution", "name"), ("CERTIFICATE_", "tls"),
    ("WRONG_VERSION_NUMBER", "tls"), ("handshake operation timed out", "tls"),
)  # fmt: skip


def trouble_of(exc: BaseException) -> Trouble:
    """The kind of trouble that an exception of Redis, or one made of it, tells of."""
    chain = list(_chain(exc))
    text = " ".join(str(each) for each in chain)
    if is_denied(text):
        return TROUBLES["denied"]
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


def note_user(exc: BaseException, user: str) -> None:
    """Keep the name of the user with an error about its rights: Redis 6.2 does not tell it."""
    if is_denied(exc):
        exc.redis_user = user  # type: ignore[attr-defined]


def who_may_not(exc: BaseException) -> str:
    """Who may not do what, as far as the error tells, such as "Redis user 'web' may not run LPUSH"."""
    text = str(exc)
    told = _USER.search(text)
    user = told[1] if told else getattr(exc, "redis_user", "")
    command = _COMMAND.search(text)
    if command:
        what = f"run {command[1].upper()}"
    elif "command" in text:
        what = "run a command of a script"
    else:
        what = "use a channel" if "channel" in text else "use a key"
    return f"{f'Redis user {user!r}' if user else 'the Redis user'} may not {what}"


def remedy_of(exc: BaseException, setting: str = REDIS_URL) -> str:
    """What to do about a Redis that cannot be used.

    Args:
        exc: The error, or what it was made into.
        setting: Words for the setting with the address.
    """
    return trouble_of(exc).remedy_for(setting)
