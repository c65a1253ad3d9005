"""Pools of connections that wait for a free one where Redis lets no further one in.

Beneath the clients; nothing to lose. All queues of a process share a pool, which grows only with
the calls that run at once. Where a new connection cannot be opened (`maxclients`, the limit of a
proxy or of the process) while others work, the caller waits for one of them, as long as an attempt
may take. So a refused connection says nothing about the queues, and no breaker opens.

Every lock here may be taken again by its own thread: a signal handler or a `__del__` that enqueues
may come in the middle of a call.
"""

from __future__ import annotations

import threading
from _thread import RLock  # in C, also under gevent, whose own is taken in steps
from inspect import Parameter, signature
from os import getpid
from sys import exc_info
from typing import Any, Final

import redis
from redis.connection import AbstractConnection
from redis.exceptions import ResponseError

from vwo_celery.clocks import monotonic
from vwo_celery.connections.causes import bare, explained
from vwo_celery.connections.errors import WORTH_A_NEW_CONNECTION
from vwo_celery.connections.troubles import note_user

#: Most connections of one pool; further calls wait. Far more than one process can keep busy.
MOST_CONNECTIONS = 32
#: Time in which no other connection is tried after one was refused, while others are in use.
_REST_SECONDS = 1.0
#: What redis-py's `get_connection` wants to be given: before 5.3 a command's name, since then nothing.
WORDS: Final[tuple[str, ...]] = (
    ("EVALSHA",)
    if signature(redis.ConnectionPool.get_connection).parameters["command_name"].default
    is Parameter.empty
    else ()
)
_RESP2: Final = 2


class Refusal:
    """The last failure to open a connection, and the time until which it is believed."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._until = 0.0

    def note(self, error: BaseException) -> None:
        """Remember *error* for a while, without the frames that it came through."""
        self._error, self._until = bare(error), monotonic() + _REST_SECONDS

    def lasting(self) -> BaseException | None:
        """The error that is still believed; None for none."""
        return bare(self._error) if self._error and monotonic() < self._until else None


def let_reenter(pool: Any) -> None:
    """Let a thread that holds the lock of one of redis-py's pools take it again.

    Releases before 6 make one of which the thread would wait for itself.
    """
    pool._lock = RLock()


def _is_plain(connection: Any) -> bool:
    """Whether redis-py only sends and reads on it: no health check, no push, no master to leave."""
    kind = type(connection)
    return (
        int(connection.protocol) == _RESP2
        and not connection.health_check_interval
        and kind.send_packed_command is AbstractConnection.send_packed_command
        and kind.read_response is AbstractConnection.read_response
    )


class SharedPool(redis.ConnectionPool):
    """A pool for threads and greenlets.

    Args:
        wait_seconds: Longest wait for a connection that others use.
        options: redis-py's.
    """

    def __init__(self, *, wait_seconds: float, **options: Any) -> None:
        self._wait_seconds = wait_seconds
        self._freed = threading.Condition(RLock())
        self._waiting = 0  # callers; raised before they look whether a connection is free
        self._refusal = Refusal()
        options.setdefault("max_connections", MOST_CONNECTIONS)
        super().__init__(**options)

    def reset(self) -> None:
        """Start without connections, in this process."""
        super().reset()
        let_reenter(self)

    def get_connection(self, *words: Any, **options: Any) -> Any:
        """Take a connection; wait for one of those in use where no other can be opened."""
        end = monotonic() + self._wait_seconds
        while True:
            refused = None if self._available_connections else self._refusal.lasting()
            if refused is None or not self._in_use_connections:
                try:
                    connection: Any = super().get_connection(*words, **options)
                except WORTH_A_NEW_CONNECTION as exc:
                    refused = explained(exc, self.connection_kwargs)
                    self._refusal.note(refused)
                except ResponseError as exc:  # as to SELECT
                    note_user(exc, self.connection_kwargs)
                    raise
                else:
                    connection.is_in_order = False
                    connection.is_plain = _is_plain(connection)
                    connection.handled = id(exc_info()[1])  # what the caller handles already
                    return connection
            if not self._await_release(end):
                raise refused

    def make_connection(self) -> Any:
        """Make one for redis-py; those that a signal handler made vanish do not count for the bound."""
        if self._created_connections >= self.max_connections:
            known = len(self._in_use_connections) + len(self._available_connections)
            self._created_connections = known
        return super().make_connection()

    def take(self) -> Any:
        """Take a connection, which is not looked at if `give_back` had it last; see `exchanges`.

        It may have been closed meanwhile. No answer to another command waits in it: redis-py looks
        for one in each that it hands out, and so does this in those that redis-py has had.
        """
        if self.pid == getpid():
            with self._lock:
                idle = self._available_connections
                try:
                    connection = idle.pop()
                except IndexError:
                    pass
                else:
                    in_order = getattr(connection, "is_in_order", False)
                    if in_order and connection._sock is not None:
                        self._in_use_connections.add(connection)
                        connection.is_in_order = False
                        return connection
                    idle.append(connection)
        return self.get_connection(*WORDS)

    def give_back(self, connection: Any) -> None:
        """Take a connection back of which all answers have been read."""
        if not self.keeps(connection):
            self.release(connection)
            return
        with self._lock:
            self._in_use_connections.remove(connection)
            connection.is_in_order = True
            self._available_connections.append(connection)
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def keeps(self, connection: Any) -> bool:
        """Whether a connection may be given back as it is, without redis-py's own steps."""
        return (
            connection._sock is not None
            and connection.pid == self.pid
            and not getattr(connection, "_should_reconnect", False)
            and getattr(connection, "_re_auth_token", None) is None
        )

    def release(self, connection: Any) -> None:
        """Take a connection back, and let a caller that waits for one have it.

        redis-py leaves one open that a signal handler cuts short between sending and reading: its
        answer may come after the next call has looked for one. So it is closed here.
        """
        failure = exc_info()[1]
        is_of_this_use = id(failure) != getattr(connection, "handled", None)
        if failure is not None and is_of_this_use and not isinstance(failure, ResponseError):
            connection.disconnect()
        super().release(connection)
        with self._freed:
            self._freed.notify()

    def owns_connection(self, connection: Any) -> Any:
        """Whether to keep a connection that comes back: a closed one would hide those that work."""
        return connection._sock is not None and super().owns_connection(connection)

    def _await_release(self, end: float) -> bool:
        """Wait until a connection is free or none is in use; False if none is, or not in time."""
        with self._freed:
            self._waiting += 1
            try:
                return self._await_free(end)
            finally:
                self._waiting -= 1

    def _await_free(self, end: float) -> bool:
        if not self._in_use_connections:
            return False
        while self._in_use_connections and not self._available_connections:
            left = end - monotonic()
            if left <= 0:
                return False
            self._freed.wait(left)
        return True
