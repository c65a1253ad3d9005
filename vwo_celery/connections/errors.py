"""What redis-py says of a URL or of a command, without what it repeats of them.

Place: an edge, beneath the connections. An error of redis-py's may hold the value of a URL's option,
or the whole command that failed, with an event or an SDK key in it. No state.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from vwo_celery.errors import QueueUnavailable

_REPEATED: Final = (
    re.compile(r"(?s)\ACommand # \d+ \(.*\) of pipeline caused error: "),  # by redis-py
    re.compile(r"(?s), with args beginning with: .*"),  # by Redis, of a command it does not know
)


def without_command(exc: BaseException) -> str:
    """What an error of Redis' says, without the command; a traceback will not show it either."""
    if exc.args and isinstance(exc.args[0], str):
        text = exc.args[0]
        for pattern in _REPEATED:
            text = pattern.sub("", text)
        exc.args = (text, *exc.args[1:])
    return str(exc)


#: What Redis says of itself in an answer that is an error, also where a script passes it on.
_STATES_OF_REDIS = (
    "OOM", "READONLY", "LOADING", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
    "BUSY", "NOAUTH", "NOPERM", "WRONGPASS",
)  # fmt: skip


def is_trouble_of_redis(exc: BaseException | None) -> bool:
    """Whether an error is about Redis as a whole, and not about one queue's keys or a script."""
    if not isinstance(exc, ResponseError):
        return True
    text = str(exc)
    if any(state in text for state in _STATES_OF_REDIS):
        return True
    return "WRONGTYPE" not in text and "user_script" not in text


#: Whatever redis-py raises; what it raises for a Cluster is not always a RedisError.
REDIS_ERRORS = (RedisError, RedisClusterException)


def describe(exc: Exception) -> str:
    """What Redis said, for a log line."""
    return f"Redis answered {type(exc).__name__}: {exc}"


def is_error_reply(exc: BaseException | None) -> bool:
    """Whether Redis itself refused the command; it answered, so nothing is in doubt."""
    return isinstance(exc, ResponseError)


def is_timeout(exc: BaseException | None) -> bool:
    """Whether Redis did not answer in time."""
    return isinstance(exc, RedisTimeoutError)


def lacks_script(exc: BaseException | None) -> bool:
    """Whether the server does not know the script, so that nothing has run."""
    return isinstance(exc, NoScriptError)


#: After these a connection is closed, so that the next one asks anew where the master is. A replica
#: that refuses to write was the master until a moment ago.
WORTH_A_NEW_CONNECTION = (RedisConnectionError, RedisTimeoutError, OSError, ReadOnlyError)


def is_demoted(exc: Exception) -> bool:
    """Whether a server refused to write since it is a replica; of a script, Redis 6.2 says it so."""
    return isinstance(exc, ReadOnlyError) or (
        isinstance(exc, ResponseError) and "-READONLY " in str(exc)
    )


@contextmanager
def unavailable(doing: str) -> Iterator[None]:
    """Turn whatever the Redis client raises into QueueUnavailable, saying what was tried.

    The command that failed is in neither: it may hold events, or the SDK key.
    """
    try:
        yield
    except (RedisError, RedisClusterException) as exc:  # the latter is no RedisError
        text = without_command(exc)
        raise QueueUnavailable(f"{doing}: Redis answered {type(exc).__name__}: {text}") from exc
