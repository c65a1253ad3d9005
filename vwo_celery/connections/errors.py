"""The Redis client's exceptions: their groups, and their way into ours without secrets.

Beneath the clients, on top of `troubles`, which says what each means; no state, nothing to lose. An
exception of redis-py may quote the whole command that failed, with an event or an SDK key in it;
that part is cut out. An exception that redis-py does not document, such as an AttributeError, counts
as a command that failed: whether it ran is not known.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from sys import is_finalizing
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

from vwo_celery.connections.troubles import (
    DENIED_IN_SCRIPT,
    MasterUnknown,
    remedy_of,
    trouble_of,
    who_may_not,
)
from vwo_celery.errors import QueueUnavailable, VwoCeleryError
from vwo_celery.logs import seldom
from vwo_celery.text.lines import Indented

#: The places where an error text quotes the command.
_QUOTED_COMMAND: Final = (
    re.compile(r"(?s)\ACommand # \d+ \(.*\) of pipeline caused error: "),  # by redis-py
    re.compile(r"(?s), with args beginning with: .*"),  # by Redis, of a command it does not know
    re.compile(r"(?s)(?<=No targets were found to execute ).*(?= command on)"),  # Cluster's client
)


def without_command(exc: BaseException) -> str:
    """The text of a Redis error without the command, which is also cut out of *exc* itself."""
    if exc.args and isinstance(exc.args[0], str):
        text = exc.args[0]
        for pattern in _QUOTED_COMMAND:
            text = pattern.sub("", text)
        exc.args = (text, *exc.args[1:])
    return str(exc)


#: Words of error replies about the state of the whole server; a script passes them on.
_STATES_OF_REDIS = (
    "OOM", "READONLY", "LOADING", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
    "BUSY", "NOAUTH", "NOPERM", "WRONGPASS",
    *DENIED_IN_SCRIPT,
)  # fmt: skip


def is_trouble_of_redis(exc: BaseException | None) -> bool:
    """Whether an error concerns all of Redis, not only one queue's keys or a script."""
    if not isinstance(exc, ResponseError):
        return True
    text = str(exc)
    if any(state in text for state in _STATES_OF_REDIS):
        return True
    return "WRONGTYPE" not in text and "user_script" not in text


def is_wrong_type(exc: BaseException) -> bool:
    """Whether a key is of another type than ours: that is one queue's trouble, not all of Redis'."""
    cause = exc.__cause__ if isinstance(exc, QueueUnavailable) else exc
    return isinstance(cause, ResponseError) and "WRONGTYPE" in str(cause)


#: All exceptions of redis-py; some of Cluster's are no RedisError.
REDIS_ERRORS = (RedisError, RedisClusterException)


def is_without_master(exc: BaseException) -> bool:
    """Whether *exc* comes from Sentinels that know no master at the moment."""
    return isinstance(exc.__cause__ if isinstance(exc, QueueUnavailable) else exc, MasterUnknown)


def is_foreseen(exc: BaseException | None) -> bool:
    """Whether an exception is one that redis-py documents."""
    return isinstance(exc, REDIS_ERRORS)


def describe(exc: Exception) -> str:
    """The trouble in words, with the error's type and text, for a log line."""
    if not is_foreseen(exc):
        return f"the Redis client raised {type(exc).__name__}"
    if isinstance(exc, MasterUnknown):
        return str(exc)
    trouble, told = trouble_of(exc), f"{type(exc).__name__}: {exc}"
    if trouble.word in ("lost", "other"):  # their words lead to the error's own
        return f"{trouble.says} {'with ' if trouble.word == 'lost' else ''}{told}"
    return f"{who_may_not(exc) if trouble.word == 'denied' else trouble.says} ({told})"


def advise(exc: Exception) -> str:
    """The trouble in words, and what to do about it, for a log line."""
    return f"{describe(exc)}; {remedy_of(exc)}"


def log_unforeseen(exc: Exception) -> None:
    """Log, at most once a minute for each type, an exception that redis-py does not document.

    Its text is left out, since it may quote a command. While the interpreter ends, any client fails
    in its own ways, and the lines of its code cannot be read any more.
    """
    if is_foreseen(exc) or is_finalizing():
        return
    kind = type(exc).__name__
    seldom.error(
        f"unforeseen {kind}",
        "the Redis client raised %s, which counts as a command that failed; please report it with "
        "these lines:\n%s",
        kind, Indented("".join(traceback.format_tb(exc.__traceback__)).rstrip().split("\n")),
    )  # fmt: skip


def is_error_reply(exc: BaseException | None) -> bool:
    """Whether Redis itself refused the command; it answered, so nothing is in doubt."""
    return isinstance(exc, ResponseError)


def is_timeout(exc: BaseException | None) -> bool:
    """Whether Redis did not answer in time."""
    return isinstance(exc, RedisTimeoutError)


def lacks_script(exc: BaseException | None) -> bool:
    """Whether the server does not know the script, so that nothing has run."""
    return isinstance(exc, NoScriptError)


#: Errors after which a connection is closed: the next one asks anew where the master is. A server
#: that refuses a write because it is a replica was the master until a moment ago.
WORTH_A_NEW_CONNECTION = (RedisConnectionError, RedisTimeoutError, OSError, ReadOnlyError)


def is_demoted(exc: Exception) -> bool:
    """Whether a server refused a write because it is a replica.

    For a write inside a script, Redis 6.2 sends a plain error reply that only quotes the reason.
    """
    return isinstance(exc, ReadOnlyError) or (
        isinstance(exc, ResponseError) and "-READONLY " in str(exc)
    )


@contextmanager
def unavailable(doing: str) -> Iterator[None]:
    """Turn any exception of the client into QueueUnavailable, without the command that failed.

    Args:
        doing: What was attempted, as the first words of the message.
    """
    try:
        yield
    except REDIS_ERRORS as exc:
        without_command(exc)
        raise QueueUnavailable(f"{doing}: {describe(exc)}") from exc
    except VwoCeleryError:
        raise
    except Exception as exc:
        log_unforeseen(exc)
        exc.args = ()  # its text may quote a command
        raise QueueUnavailable(f"{doing}: {describe(exc)}") from exc
