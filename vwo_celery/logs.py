"""The package's loggers, messages that are logged seldom, and the announcement of dropped events.

Beside every stage. Every module logs through `log`, the SDK adapters through `sdk_log`, workers tell of
each batch through `batch_log`; the names `vwo_celery`, `vwo_celery.sdk` and `vwo_celery.batches` are
what applications configure. All make what a line shows safe: names and reasons come from Redis and
from VWO, and must not forge lines.

Code that drops events first counts them (the producer in `dropped`, the scripts in the ledger) and
then calls `announce_drop`. Receivers of the signal live in this process: where nobody has imported
`vwo_celery.signals`, nobody can be connected, so a producer need not import Celery. If the process
dies in here, a log line or a signal is lost, and no event.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import time
import traceback
from _thread import RLock, _count  # the lock in C, also under gevent: see _Memory
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from sys import is_finalizing
from typing import Any, Final

from vwo_celery.clocks import monotonic
from vwo_celery.text import amounts
from vwo_celery.text.lines import Indented, Shown, traceback_lines
from vwo_celery.text.moments import since


class _OneLine(logging.Filter):
    """Makes each value in a record safe to show, and indents its traceback; the template is ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is always logged."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_shown, record.args))
        elif record.args:
            record.msg, record.args = Shown(record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = traceback_lines(record.exc_info[1])
        return True


def _shown(value: object) -> object:
    # A subclass of a number may have a str of its own; a text made by `Indented` is safe.
    return value if type(value) in (int, float, bool, Indented) else Shown(value)


log: Final = logging.getLogger("vwo_celery")
sdk_log: Final = log.getChild("sdk")
batch_log: Final = log.getChild("batches")
for _logger in (log, sdk_log, batch_log):  # a logger's filters do not see what its children log
    _logger.addFilter(_OneLine())

LOG_EVERY_SECONDS: Final = 60.0
#: Attribute of a log record that holds the facts of its line by name; see `json_lines`.
FIELDS: Final = "vwo_fields"
#: Topics that one SeldomLog remembers; the one logged longest ago is forgotten first.
MOST_TOPICS: Final = 1000


def with_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Argument `extra` of a call that logs, for a line whose facts are *fields*."""
    return {FIELDS: dict(fields)}


class JsonFormatter(logging.Formatter):
    """Formats a log record, of ours or of anybody else, as one JSON document on one line.

    Its fields are `time`, `level`, `logger`, `process` and `message`; those of the line, such as `queue`
    and `batch`; and `traceback`, if there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, in ASCII."""
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        document = {
            "time": at,
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            document["traceback"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(document, default=str)


class _Memory:
    """What this module remembers, and the lock that guards it.

    The lock is never held while a line is written. It is reentrant, since a signal handler may log,
    and not gevent's: that is taken in steps, and a signal between them would wait for itself.

    Attributes:
        unsaid: Dropped events that no line has counted yet, and when the first was, by queue and
            reason.
    """

    def __init__(self) -> None:
        self.start_child()

    def start_child(self) -> None:
        """Forget the parent's drops, which it logs itself, and any thread that held the lock."""
        self.lock = RLock()
        self.unsaid: dict[str, tuple[int, float]] = {}


_memory: Final = _Memory()

if hasattr(os, "register_at_fork"):
    # Nothing to do before the fork: servers that fork in C, such as uWSGI, may run this hook alone.
    os.register_at_fork(after_in_child=_memory.start_child)


class SeldomLog:
    """Log each topic at most once in a period. Safe under threads and forks; bounded in memory.

    Args:
        every_seconds: The period; infinite for once in the life of the process.
        clock: Seconds that only rise.
    """

    def __init__(
        self,
        every_seconds: float = LOG_EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_seconds = every_seconds
        self._clock = clock
        self._logged_at: OrderedDict[str, float] = OrderedDict()

    def warn(self, topic: str, message: str, *details: object) -> bool:
        """Log a warning unless its topic was logged within the period; whether it was logged."""
        return self._log(logging.WARNING, topic, message, details)

    def error(self, topic: str, message: str, *details: object) -> bool:
        """Log an error unless its topic was logged within the period; whether it was logged."""
        return self._log(logging.ERROR, topic, message, details)

    def _log(self, level: int, topic: str, message: str, details: tuple[object, ...]) -> bool:
        if not _can_log() or not self._is_due(topic):
            return False
        with suppress(Exception):  # raised by a handler or a filter of the application's
            log.log(level, message, *details)
        return True

    def _is_due(self, topic: str) -> bool:
        with _memory.lock:
            now = self._clock()
            if now - self._logged_at.get(topic, -math.inf) < self._every_seconds:
                return False
            self._logged_at[topic] = now
            self._logged_at.move_to_end(topic)
            if len(self._logged_at) > MOST_TOPICS:
                self._logged_at.popitem(last=False)
        return True


def _can_log() -> bool:
    """Whether to log: not at the interpreter's end beside threads, since it has stopped them.

    One of them may hold the lock of a handler, for which this one would wait for ever.
    """
    return not is_finalizing() or _count() == 0


def log_once() -> SeldomLog:
    """A log of which each topic appears once, however long the process lives."""
    return SeldomLog(math.inf)


#: The whole process' log of warnings that would otherwise come with every event.
seldom: Final = SeldomLog()


def log_surprise(exc: Exception, meaning: str) -> None:
    """Log, at most once a minute for each type, an exception that no code here expects.

    Args:
        exc: The exception; its text is left out, since it may quote an event.
        meaning: What is true now.
    """
    kind = type(exc).__name__
    seldom.error(
        f"surprise {kind}",
        "vwo_celery met %s, and %s; please report it with these lines:\n%s",
        kind, meaning, Indented("".join(traceback.format_tb(exc.__traceback__)).rstrip().split("\n")),
    )  # fmt: skip


def announce_drop(queue: str, reason: str, count: int, detail: str = "") -> None:
    """Send `event_dropped` and, at most once a minute for each queue and reason, log; never raises.

    Args:
        queue: The queue's name.
        reason: One word, as counted.
        count: Number of events, 1 and up.
        detail: The cause and what to do about it, for the log.
    """
    _log_drop(queue, reason, count, detail)
    signals = sys.modules.get("vwo_celery.signals")
    event_dropped = getattr(signals, "event_dropped", None)  # None also while it is being imported
    if event_dropped is None:
        return
    try:
        event_dropped.send(sender=queue, queue=queue, reason=reason, count=count)
    except Exception:
        with suppress(Exception):  # see `SeldomLog`
            log.exception("a receiver of event_dropped could not be told of %d events", count)


def _log_drop(queue: str, reason: str, count: int, detail: str) -> None:
    """Log how many events were dropped since the last such line."""
    topic, now = f"{queue} {reason}", monotonic()
    with _memory.lock:
        before, first_at = _memory.unsaid.get(topic, (0, now))
        unsaid = before + count
        _memory.unsaid[topic] = unsaid, first_at
    when = f" {since(now - first_at)}" if before else ""
    logged = seldom.warn(
        topic, "%s of queue %s dropped (%s)%s%s", amounts.count(unsaid, "event"), queue, reason, when,
        f": {detail}" if detail else "",
    )  # fmt: skip
    if logged:
        with _memory.lock:
            left = _memory.unsaid.pop(topic, (0, now))[0] - unsaid
            if left > 0:
                _memory.unsaid[topic] = left, now


def forget_unsaid(queue: str, reason: str) -> None:
    """Forget drops that no line has counted yet, since another one does."""
    with _memory.lock:
        _memory.unsaid.pop(f"{queue} {reason}", None)
