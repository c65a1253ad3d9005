"""Options by which batches are picked, and what they pick."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from vwo_celery.cli.shared.bulk import batch_option
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.session import Session, queue_option
from vwo_celery.errors import FilterError
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import SCAN_EVENTS, Scan, find_dead, find_waiting
from vwo_celery.operating.batches.found import DeadBatch, WaitingBatch
from vwo_celery.queue.words.registration import Registration
from vwo_celery.text.amounts import count

Decorated = TypeVar("Decorated", bound=Any)


def _read_filter(context: click.Context, parameter: click.Parameter, text: str) -> Filter:
    """Read a filter; one that cannot be read is wrong usage."""
    try:
        return Filter.parse(text)
    except FilterError as exc:
        reason = str(exc).removeprefix("filter: ")
        raise click.BadParameter(reason, ctx=context, param=parameter) from exc


filter_option = click.option(
    "--filter", "wanted", callback=_read_filter, default="", metavar="FILTER",
    help="Only batches that it picks, such as 'answer:413 died:>2h'.",
)  # fmt: skip
scan_option = click.option(
    "--scan-limit", type=click.IntRange(min=1), default=SCAN_EVENTS, metavar="N",
    help=f"Most events that event: and visitor: may read.  [default: {SCAN_EVENTS}]",
)  # fmt: skip


def filters(function: Decorated) -> Decorated:
    """`--filter`, its short forms, and the bound on what it reads."""
    options = (
        filter_option,
        queue_option,
        batch_option,
        click.option(
            "--reason", default="", metavar="TEXT", help="Only those whose reason contains TEXT."
        ),
        scan_option,
    )
    for option in reversed(options):
        function = option(function)
    return function


class Words(NamedTuple):
    """The options of `filters` as they were given."""

    wanted: Filter
    queues: Sequence[str]
    batches: Sequence[str]
    reason: str
    scan_limit: int

    @property
    def filter(self) -> Filter:
        """All of them as one filter."""
        return self.wanted.narrowed(queues=self.queues, batches=self.batches, reason=self.reason)

    @classmethod
    def taken_from(cls, options: dict[str, Any]) -> Words:
        """Take them out of all options of a command."""
        return cls(*(options.pop(name) for name in cls._fields))


class Choice:
    """The batches that somebody picked, found anew by each iteration.

    Attributes:
        filter: By which they are picked.
        search: What the last iteration could not look at.
        until_ms: Unix ms; dead letters that died later are left out, None for none.
    """

    def __init__(self, session: Session, words: Words) -> None:
        self.filter = words.filter
        self.search = Scan(words.scan_limit)
        self.until_ms: int | None = None
        self._fleet = session.fleet
        self._most_events = words.scan_limit
        self._registered: Mapping[str, Registration] = session.choose(self.filter.queues)

    def __iter__(self) -> Iterator[DeadBatch]:
        self.search = Scan(self._most_events)
        found = find_dead(self._fleet, self._registered, self.filter, self.search)
        return (each for each in found if self.until_ms is None or each.died_ms <= self.until_ms)

    def waiting(self) -> Iterator[WaitingBatch]:
        """Those that are not dead."""
        self.search = Scan(self._most_events)
        return find_waiting(self._fleet, self._registered, self.filter, self.search)

    @property
    def registered(self) -> Mapping[str, Registration]:
        """The queues that they may be in."""
        return self._registered

    def sdk_key(self, queue: str) -> str:
        """The key of a queue, which is masked in its events."""
        return self._registered[queue].destination.sdk_key

    def check_batches(self) -> list[DeadBatch]:
        """The batches that were named by their ids, if any; fail if one of them is not there."""
        named = self.filter.batches
        found = list(self) if named else []
        missing = sorted({*named} - {each.batch for each in found})
        if missing:
            raise click.ClickException(
                f"no dead letter that matches has the id {', '.join(missing)}; nothing was "
                "changed; see: vwo-celery dead list"
            )
        return found

    def say_rest(self, context: click.Context) -> None:
        """Say what could not be looked at, if anything; then exit 1."""
        if self.search.complete:
            return
        if self.search.not_looked_at:
            print_line(
                f"{count(self.search.not_looked_at, 'event')} not looked at: event: and visitor: read "
                f"{self.search.most_events:,} at most; narrow the filter, or raise --scan-limit",
                err=True, fg="yellow",
            )  # fmt: skip
        for each in self.search.unreadable:
            print_line(
                f"left out, since they cannot be read: batches of {each}", err=True, fg="red"
            )
        context.exit(1)
