"""One request of somebody who may come in, with all that an answer needs.

Pages, actions and the API are functions of a visit. Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import msgspec

from vwo_celery.console.shared.exchange import Request
from vwo_celery.console.shared.rights import Right, Visitor
from vwo_celery.console.shared.sources import LOOK_SECONDS, Source
from vwo_celery.operating.batches.filters import without_visitors
from vwo_celery.operating.doctor import Finding
from vwo_celery.operating.documents.jobs import JobDocument
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.looks.knowing import unless_wrong
from vwo_celery.operating.looks.looking import Look
from vwo_celery.operating.looks.workers import WorkerView, view_workers
from vwo_celery.operating.past.audit import Actor, Change, new_change
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Registration, Registrations
from vwo_celery.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What has a filter, as it was typed.
Told = TypeVar("Told", Change, JobDocument)


class Visit:
    """One request of one visitor.

    Attributes:
        request: What was asked for.
        visitor: Who asks, and what they may do.
        source: The queues, and looks that are kept.
        pieces: The pieces of the path that the route has in braces.
        door: The way in, for the audit; see `audit.DOORS`.
        fields: The query's fields, each with its values.
        change: The id that the audit gives what this request changes.
    """

    def __init__(
        self,
        request: Request,
        visitor: Visitor,
        source: Source,
        *,
        door: str,
        pieces: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.request = request
        self.visitor = visitor
        self.source = source
        self.door = door
        self.pieces = pieces
        self.fields = request.fields()
        self.change = new_change()

    @property
    def path(self) -> str:
        """The path without its first slash: "" for the first page."""
        return self.request.path.removeprefix("/")

    @property
    def settings(self) -> Settings:
        """A worker's settings, which lead to the queues."""
        return self.source.settings

    @property
    def fleet(self) -> Fleet:
        """The queues.

        Raises:
            QueueUnavailable: Redis cannot be reached.
        """
        return self.source.fleet()

    @property
    def actor(self) -> Actor:
        """Who asks, for the audit."""
        return Actor(self.visitor.name, self.door, self.request.remote, self.change)

    @property
    def root(self) -> str:
        """What leads from this page to the first one: "./" or "../"; a link is root + path."""
        return "../" * self.path.count("/") or "./"

    def may(self, right: Right) -> bool:
        """Whether the visitor has a right; what they may not do is not drawn."""
        return self.visitor.may(right)

    def field(self, name: str, default: str = "") -> str:
        """The query's field of a name; of several, the last."""
        return self.fields.get(name, [default])[-1]

    def every_field(self, name: str) -> list[str]:
        """All values of the query's field of a name."""
        return self.fields.get(name, [])

    def look(self) -> Look:
        """The look at all queues that all requests of one second share.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return self.source.seen().look

    def workers(self) -> list[WorkerView]:
        """The workers that listen, which all requests of one second share.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return self.source.kept("workers", LOOK_SECONDS, lambda: view_workers(self.fleet))

    def workers_if_known(self) -> list[WorkerView] | None:
        """The same; None if a key with them is of a wrong type.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return unless_wrong(self.workers, None)

    def findings(self) -> list[Finding]:
        """What the doctor finds, without asking Celery's broker; kept for some seconds."""
        return self.source.findings()

    def discreet(self, told: Told) -> Told:
        """What tells of a filter, without the visitors in it, unless this visitor may see events."""
        if self.may(Right.PEEK) or "visitor:" not in told.filter:
            return told
        return msgspec.structs.replace(told, filter=without_visitors(told.filter))

    def choose(self, queues: Sequence[str] = ()) -> dict[str, Registration]:
        """The registered queues of these names; all if no name is given.

        Raises:
            QueueUnavailable: Redis did not answer.
            QueueUnknown: There is no such queue, or its registration cannot be read.
        """
        found = self._registrations()
        if self._lacks_one_that_is_shown(found, queues):
            found = self.fleet.registrations()
        return inspector.choose(found.readable, queues, found.unreadable)

    def _lacks_one_that_is_shown(self, found: Registrations, queues: Sequence[str]) -> bool:
        """Whether they are older than the look: a page has a link to a queue that they lack."""
        missing = set(queues) - found.readable.keys() - found.unreadable.keys()
        return bool(missing) and not missing.isdisjoint(view.queue for view in self.look().views)

    def _registrations(self) -> Registrations:
        if not self.request.is_safe:
            return self.fleet.registrations()  # a change knows what is there now
        return self.source.kept("registrations", LOOK_SECONDS, self.fleet.registrations)
