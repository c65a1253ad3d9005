"""The spans of a worker: one for each attempt at a batch, and below it the POST and the settling.

Beside stages 3 to 5 of an event's way. An attempt's span is linked to the contexts that the batch's
events brought along, and stands below the current one, such as that of Celery's task. Without a
provider nothing is recorded, and Redis is not asked for contexts. If the process dies here, a span
is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any, Final, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

from vwo_celery.tracing.api import (
    Recorded,
    current,
    harmless,
    has_provider,
    is_recording,
    start,
)
from vwo_celery.tracing.carried import read_contexts
from vwo_celery.tracing.words import (
    ATTEMPT,
    BATCH,
    BODY_SIZE,
    LINKS_DROPPED,
    MESSAGE_COUNT,
    METHOD,
    OLDEST_AGE,
    SERVER_ADDRESS,
    SERVER_PORT,
    STATUS,
    URL,
    about,
    span_name,
)

Method = TypeVar("Method", bound=Callable[..., Any])

_NOT_RECORDED: Final = Recorded()
_FIRST_ERROR_STATUS: Final = 400
_PORTS: Final = {"http": 80, "https": 443}


class Facts(NamedTuple):
    """What an attempt's span tells: of the batch, and of the attempt."""

    queue: str
    batch: str
    attempt: int
    events: int
    size: int
    age_seconds: float


def attempting(facts: Facts, read: Callable[[], bytes | None]) -> AbstractContextManager[Recorded]:
    """Record an attempt at a batch until the block ends, if this process has a provider.

    Args:
        facts: What is known of it.
        read: Reads what Redis keeps of the batch's contexts; whatever it raises, there are none.
    """
    if not has_provider():
        return nullcontext(_NOT_RECORDED)
    none: tuple[list[str], int] = ([], 0)
    contexts, seen = harmless(lambda: read_contexts(read()), none)
    found: dict[str, str | int | float] = {
        **about("process", "process", facts.queue),
        BATCH: facts.batch,
        ATTEMPT: facts.attempt,
        MESSAGE_COUNT: facts.events,
        BODY_SIZE: facts.size,
        OLDEST_AGE: facts.age_seconds,
    }
    if seen:
        found[LINKS_DROPPED] = seen - len(contexts)
    return current(start(span_name("process"), "CONSUMER", found, contexts))


def settles(operation: str) -> Callable[[Method], Method]:
    """A decorator: records a method that settles a batch, as *operation*, below an attempt's span.

    The method's object has a `shard` and a `batch`.
    """

    def decorate(method: Method) -> Method:
        @wraps(method)
        def recorded(lease: Any, *arguments: Any, **options: Any) -> Any:
            if not is_recording():
                return method(lease, *arguments, **options)
            facts = {**about(operation, "settle", lease.shard.queue), BATCH: lease.batch.id}
            with current(start(span_name(operation), "CLIENT", facts)):
                return method(lease, *arguments, **options)

        return cast("Method", recorded)

    return decorate


@contextmanager
def posting(url: str) -> Iterator[Callable[[int | None, str], None]]:
    """Record a POST until the block ends, below an attempt's span.

    Args:
        url: Its URL; the query, which may hold the SDK key, is not recorded.

    Yields:
        A function that is told the status, or None and a word for what came instead.
    """
    if not is_recording():
        yield lambda _status, _word: None
        return
    parts = urlsplit(url)
    facts: dict[str, str | int | float] = {
        METHOD: "POST",
        SERVER_ADDRESS: parts.hostname or "",
        SERVER_PORT: parts.port or _PORTS.get(parts.scheme, 0),
        URL: url.partition("?")[0],
    }
    with current(start("POST", "CLIENT", facts)) as span:
        yield lambda status, word: _note_answer(span, status, word)


def _note_answer(span: Recorded, status: int | None, word: str) -> None:
    if status is None:
        span.fail(word)
        return
    span.note({STATUS: status})
    if status >= _FIRST_ERROR_STATUS:
        span.fail(str(status))
