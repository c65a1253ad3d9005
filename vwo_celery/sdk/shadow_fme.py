"""A shadow of an FME client: where the SDK takes events, and where it sends them.

Beside an event's way. With the SDK's batching, a `ShadowBatchQueue` stands where `attach` would put
the shared queue, and hands each event on to the SDK's own. Without it the SDK has no such place: each
method either enqueues an event or sends it, so the functions that send are watched in the modules of
these methods. What is sent is read where the SDK's network manager hands it to its client. Nothing to
lose; `shadow` says what dies with the process.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from vwo_celery.errors import SdkError
from vwo_celery.producing.shadowing import Shadower
from vwo_celery.sdk import fme
from vwo_celery.sdk.releases import check_parts, core_of, find
from vwo_celery.sdk.shadow import Request, Watched, refuse_attached, remember_shadow

#: Paths of a batch and of a single event (the SDK's enums/url_enum.py).
_BATCH, _SINGLE = "/batch-events-v2", "/events/t"
#: Events about the SDK itself, which it always sends singly (its enums/event_enum.py).
_OF_THE_SDK = ("vwo_sdkDebug", "vwo_log")
_SHOWN = "vwo_variationShown"
#: Functions of the SDK's that send an event, or a list of them, and the modules that call them where
#: they could also enqueue.
_SENDERS = ("send_post_api_request", "send_post_batch_request")
_METHODS = ("api.track_api", "api.set_attribute_api", "utils.impression_util")


class ShadowBatchQueue:
    """Stands before the SDK's BatchEventQueue and counts what it takes; else it is that queue."""

    def __init__(self, own: Any, watched: ShadowOfFme) -> None:
        self._own = own
        self._watched = watched

    def enqueue(self, event_data: dict[str, Any]) -> Any:
        """Count one event, and let the SDK have it."""
        self._watched.hook(event_data)
        return self._own.enqueue(event_data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class ShadowSender:
    """Stands before one of the SDK's functions that send, and counts what it is given."""

    def __init__(self, own: Any, watched: ShadowOfFme, *, takes_many: bool) -> None:
        self._own = own
        self._watched = watched
        self._takes_many = takes_many

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Count the events, and let the SDK send them."""
        for event in self._events(arguments, keywords):
            self._watched.hook(event)
        return self._own(*arguments, **keywords)

    def _events(self, arguments: Sequence[Any], keywords: dict[str, Any]) -> Sequence[Any]:
        place = 0 if self._takes_many else 1
        payload = arguments[place] if len(arguments) > place else keywords.get("payload")
        if self._takes_many:
            return payload if isinstance(payload, list) else ()
        return (payload,)


class ShadowPost:
    """Stands before `post` of the SDK's network client, and counts what became of each request."""

    def __init__(self, network_client: Any, watched: ShadowOfFme) -> None:
        self._own = vars(network_client).get("post")
        self._network_client = network_client
        self._watched = watched

    def __call__(self, request_model: Any, *arguments: Any, **keywords: Any) -> Any:
        """Let the SDK send the request, its own retries included."""
        # Looked up now: tests and tracers of applications replace the method of the SDK's class.
        own = self._own or type(self._network_client).post.__get__(self._network_client)
        return self._watched.send(
            lambda: self._watched.read(request_model),
            lambda: own(request_model, *arguments, **keywords),
            lambda response: bool(response.get_status_code() == 200),
        )


class ShadowOfFme(Watched):
    """An FME client, its SDK's queue if it has one, and its SDK's network client.

    Attributes:
        takers: The clients whose queue may get its events.
    """

    def __init__(self, client: Any, shadower: Shadower, queue: str) -> None:
        self.takers = fme.takers(client)
        refuse_attached(
            self.takers[0], "the first client of this process, whose queue the SDK uses,"
        )
        # The SDK uses the queue of its first client, and if that has none, sends singly.
        self._is_batching = self.takers[0].batch_event_queue is not None
        queues = [taker.batch_event_queue for taker in self.takers]
        self._own_queues = list({id(own): own for own in queues if own is not None}.values())
        super().__init__(
            shadower, queue, name=name_of,
            lists=lambda: [own.batch_queue for own in self._own_queues],
        )  # fmt: skip
        core = core_of(type(client))
        manager = find(core, "packages.network_layer.manager.network_manager", "NetworkManager")
        check_parts([("NetworkManager", manager, ("get_instance",))])
        self._manager = manager.get_instance()
        self._network_client: Any = None

    def hook(self, event: Any) -> None:
        """Count an event; see that the network client is still the one that is watched."""
        if self._manager.client is not self._network_client:  # another init replaced it
            self._watch_network()
        super().hook(event)

    def take_place(self, client: Any) -> None:
        """Stand at every place, or at none, and look at the client from now on.

        Raises:
            SdkError: A place is not there.
        """
        senders = [] if self._is_batching else _senders(client)
        self._watch_network()
        with ExitStack() as stack:
            for own in self._own_queues:
                stack.enter_context(own.lock)
            for taker in self.takers:
                if taker.batch_event_queue is not None:
                    taker.batch_event_queue = ShadowBatchQueue(taker.batch_event_queue, self)
            self.begin()
        for module, name in senders:
            takes_many = name == "send_post_batch_request"
            setattr(module, name, ShadowSender(getattr(module, name), self, takes_many=takes_many))

    def _watch_network(self) -> None:
        self._network_client = self._manager.client
        if not isinstance(vars(self._network_client).get("post"), ShadowPost):
            self._network_client.post = ShadowPost(self._network_client, self)

    def read(self, request_model: Any) -> Request:
        """Read the events of a request."""
        path, body = request_model.get_path(), request_model.get_body()
        if path.endswith(_BATCH):
            return Request(body["ev"], is_kept=self._is_batching)
        if path.endswith(_SINGLE):
            return Request((body,), goes_to_hook=name_of(body)[0] not in _OF_THE_SDK)
        return Request()


def name_of(event: dict[str, Any]) -> tuple[str, str]:
    """Name of an FME event, and of a decision's event the id of its campaign."""
    inner = event["d"]["event"]
    name = str(inner["name"])
    return name, str(inner["props"].get("id", "")) if name == _SHOWN else ""


def _senders(client: Any) -> list[tuple[Any, str]]:
    """The places where a method of the SDK's sends an event that it could also enqueue."""
    core = core_of(type(client))
    found = []
    for method in _METHODS:
        module = sys.modules.get(f"{core}.{method}")
        places = [(module, name) for name in _SENDERS if hasattr(module, name)]
        if not places:
            raise SdkError(
                f"this release of the SDK has no {core}.{method} that sends, so its events cannot be "
                "counted while it does not batch. Init it with batch_event_data, then shadow it"
            )
        found += places
    return found


def shadow(client: Any, *, queue: str, shadower: Shadower) -> None:
    """Shadow *client*; see `vwo_celery.shadow`."""
    if client.options.get("isDevelopmentMode"):
        raise SdkError(
            "this client is in development mode, in which its SDK sends events and attach would "
            "enqueue none: nothing could agree. Shadow a client without isDevelopmentMode"
        )
    watched = ShadowOfFme(client, shadower, queue)
    watched.take_place(client)
    for taker in {id(each): each for each in (*watched.takers, client)}.values():
        remember_shadow(taker, watched)
