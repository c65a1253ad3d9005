"""`shadow`: count beside a client what its SDK sends and what `attach` would enqueue; change nothing.

Before stage 1 of an event's way, and beside it: no event is enqueued or sent. What both generations
share is here; `shadow_fme` and `shadow_legacy` say where each SDK is watched. An exception here would
reach the visitor, so none is raised once a client is shadowed. If the process dies, counts of its last
seconds are missing.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from vwo_celery.errors import SdkError
from vwo_celery.forks import PerProcess
from vwo_celery.producing.shadowing import Seen, Shadower, content, seen
from vwo_celery.queue.records.shadows import RowName
from vwo_celery.sdk.hook import hook_of

Answer = TypeVar("Answer")
#: Longest part of a name that is counted by itself.
_LONGEST_NAME = 100


class Request(NamedTuple):
    """What is read of a request of the SDK's before it is sent.

    Attributes:
        events: Its events, in the shape in which `attach` would enqueue them.
        goes_to_hook: Whether `attach` would enqueue them; it leaves reports of the SDK's own to it.
        is_kept: Whether the SDK keeps them if the request fails, and sends them again.
    """

    events: Sequence[Any] = ()
    goes_to_hook: bool = True
    is_kept: bool = False


class Watched:
    """One client that is shadowed: what its hook sees, what its SDK sends, what the SDK holds.

    Args:
        shadower: Counts it.
        queue: Name of the queue that `attach` would use.
        lists: Returns the SDK's lists of events that wait for a batch.
        name: Returns an event's name and campaign.
        form: Returns of an event what is compared.
    """

    def __init__(
        self,
        shadower: Shadower,
        queue: str,
        *,
        lists: Callable[[], Iterable[Sequence[Any]]],
        name: Callable[[Any], tuple[str, str]],
        form: Callable[[Any], Any] = lambda event: event,
    ) -> None:
        self._shadower, self._queue = shadower, queue
        self._lists, self._name, self._form = lists, name, form
        self._requests: PerProcess[dict[object, list[Seen]]] = PerProcess(dict)

    def begin(self) -> None:
        """Look at the client from now on; `attach` would take over what its SDK holds already."""
        for each in self.held():
            self._shadower.note("hooked", each)
        self._shadower.watch(self)

    def hook(self, event: Any) -> None:
        """Count an event that `attach` would enqueue now."""
        try:
            one, fits = self._seen(event)
            self._shadower.note("hooked", one)
            if not fits:
                self._shadower.note("unsendable", one)
        except Exception as exc:
            self._shadower.failed(exc)

    def failed(self, exc: Exception) -> None:
        """Count an event of which nothing could be made."""
        self._shadower.failed(exc)

    def send(
        self,
        read: Callable[[], Request],
        call: Callable[[], Answer],
        succeeded: Callable[[Answer], bool],
    ) -> Answer:
        """Let the SDK send a request, and count its events by what came of it.

        Args:
            read: Reads the request.
            call: The SDK's own way to send it.
            succeeded: Whether the SDK takes the answer for a success.

        Returns:
            What *call* returned.

        Raises:
            Exception: Whatever *call* raised.
        """
        request = self._read(read)
        if not request.goes_to_hook:  # which has not seen it, so it is not held either
            self._note("aside", self._on_wire(request))
            return call()
        key, kind = object(), ""
        self._requests.get()[key] = self._on_wire(request)
        try:
            kind = "" if request.is_kept else "lost"
            answer = call()
            kind = "sent" if self._is_success(succeeded, answer) else kind
            return answer
        finally:
            self._note(kind, self._requests.get().get(key, ()))
            self._requests.get().pop(key, None)

    def _read(self, read: Callable[[], Request]) -> Request:
        try:
            return read()
        except Exception as exc:
            self._shadower.failed(exc)
            return Request()

    def _is_success(self, succeeded: Callable[[Answer], bool], answer: Answer) -> bool:
        try:
            return succeeded(answer)
        except Exception as exc:
            self._shadower.failed(exc)
            return False

    def _on_wire(self, request: Request) -> list[Seen]:
        try:
            return [self._seen(on_wire(event))[0] for event in request.events]
        except Exception as exc:
            self._shadower.failed(exc)
            return []

    def _note(self, kind: str, those: Iterable[Seen]) -> None:
        """Count events of a kind, "" for none."""
        try:
            for each in those if kind else ():
                self._shadower.note(kind, each)
        except Exception as exc:
            self._shadower.failed(exc)

    def held(self) -> list[Seen]:
        """The events in the SDK's lists, and in its requests that are under way in this process."""
        waiting = [event for those in self._lists() for event in list(those)]
        under_way = list(self._requests.get().values())
        return [
            *(self._seen(event)[0] for event in waiting),
            *(each for those in under_way for each in those),
        ]

    def _seen(self, event: Any) -> tuple[Seen, bool]:
        encoded, fits = content(self._form(event))
        event_name, campaign = self._name(event)
        name = RowName(self._queue, event_name[:_LONGEST_NAME], campaign[:_LONGEST_NAME])
        return seen(name, encoded), fits


def on_wire(event: Any) -> Any:
    """The event as a reader of the SDK's request has it; as it is, if no request can carry it.

    Both SDKs let requests write the body, which does it so (requests/models.py: prepare_body).
    """
    try:
        return json.loads(json.dumps(event, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return event


_watched: weakref.WeakKeyDictionary[Any, Watched] = weakref.WeakKeyDictionary()


def remember_shadow(client: Any, watched: Watched) -> None:
    """Note what watches a client for as long as the client lives."""
    _watched[client] = watched


def is_shadowed(client: Any) -> bool:
    """Whether *client* is shadowed already."""
    try:
        return client in _watched
    except TypeError:  # no weak reference to it can be made, so it was never shadowed
        return False


def refuse_shadowed(client: Any) -> None:
    """Raise an SdkError if *client* is shadowed: it could not be undone."""
    if is_shadowed(client):
        raise SdkError(
            "this client is shadowed, and a shadow lasts as long as its client: nothing was changed. "
            "To switch, call vwo_celery.attach in place of vwo_celery.shadow"
        )


def refuse_attached(client: Any, name: str = "this client") -> None:
    """Raise an SdkError if *client* is attached: its SDK sends nothing to compare with."""
    if hook_of(client) is not None:
        raise SdkError(
            f"{name} is attached: its events go to the shared queue, and its SDK sends nothing to "
            "compare with. Call vwo_celery.shadow in place of vwo_celery.attach, not after it"
        )
