"""A shadow of a legacy client: where its dispatcher takes events, and where it sends them.

Beside an event's way. With the SDK's batching, the shadow stands before `async_dispatch`, which `attach`
replaces. Without it, it stands before `dispatch`, which would call that, and makes of each impression
the event of a batch, as the SDK does. What is sent is read where the dispatcher hands it to its
connection. Nothing to lose; `shadow` says what dies with the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vwo_celery.errors import SdkError
from vwo_celery.producing.shadowing import Shadower
from vwo_celery.sdk.shadow import Request, Watched, remember_shadow

#: Names of an event's kinds by their number, as the SDK's methods are called.
_NAMES = {1: "activate", 2: "track", 3: "push"}
#: Path of a request without batching -> kind of its event (the SDK's event_dispatcher.py).
_KINDS = {"track-user": 1, "track-goal": 2, "push": 3}
#: Parameter of such a request -> field of the event in a batch (the same).
_FIELDS = {
    "u": "u", "sId": "sId", "visitor_ua": "visitor_ua", "visitor_ip": "visitor_ip",
    "combination": "c", "experiment_id": "e", "goal_id": "g", "r": "r", "tags": "t",
}  # fmt: skip


class ShadowDispatch:
    """Stands before the methods of one dispatcher and of its connection."""

    def __init__(self, dispatcher: Any, watched: Watched) -> None:
        self._dispatcher = dispatcher
        self._watched = watched
        self._async_dispatch, self._dispatch = dispatcher.async_dispatch, dispatcher.dispatch
        self._get, self._post = dispatcher.connection.get, dispatcher.connection.post

    def take_place(self) -> None:
        """Stand before them from now on."""
        dispatcher = self._dispatcher
        if dispatcher.event_batching:
            dispatcher.async_dispatch = self.async_dispatch
            dispatcher.connection.post = self.post
        else:
            dispatcher.dispatch = self.dispatch
            dispatcher.connection.get = self.get

    def async_dispatch(self, url: str, impression: dict[str, Any]) -> Any:
        """Count one event, and let the SDK queue it."""
        self._hook(url, impression)
        return self._async_dispatch(url, impression)

    def dispatch(self, impression: dict[str, Any]) -> Any:
        """Count the event of an impression, and let the SDK send it."""
        if not self._dispatcher.is_development_mode:
            self._hook(impression.get("url", ""), impression)
        return self._dispatch(impression)

    def _hook(self, url: str, impression: dict[str, Any]) -> None:
        try:
            event = self._dispatcher.build_event_payload(url, impression)
        except Exception as exc:
            self._watched.failed(exc)
            return
        self._watched.hook(event)

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None) -> Any:
        """Let the SDK send a batch; it loses one that fails."""
        return self._watched.send(
            lambda: Request(data["ev"]),
            lambda: self._post(url, params=params, data=data, headers=headers),
            _succeeded,
        )

    def get(self, url: str, params: Any = None, headers: Any = None) -> Any:
        """Let the SDK send an event; it loses one that fails."""
        return self._watched.send(
            lambda: Request((_event_of(url, params),)),
            lambda: self._get(url, params=params, headers=headers),
            _succeeded,
        )


def _succeeded(answer: Mapping[str, Any]) -> bool:
    return answer.get("status_code") == 200


def _event_of(url: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a batch that says the same as a request without batching."""
    event = {_FIELDS[name]: value for name, value in params.items() if name in _FIELDS}
    return {**event, "eT": _KINDS[url.rpartition("/")[2]]}


def name_of(event: Mapping[str, Any]) -> tuple[str, str]:
    """Kind of a legacy event, its campaign, and of a conversion its goal."""
    kind = event["eT"]
    campaign = str(event.get("e", ""))
    if "g" in event:
        campaign = f"{campaign} goal {event['g']}"
    return _NAMES.get(kind, str(kind)), campaign


def as_texts(event: Mapping[str, Any]) -> dict[str, str]:
    """The event as a query string says it, which knows texts only, and no order."""
    return {name: str(value) for name, value in sorted(event.items()) if value is not None}


def shadow(client: Any, *, queue: str, shadower: Shadower) -> None:
    """Shadow *client*; see `vwo_celery.shadow`."""
    dispatcher = client.event_dispatcher
    if dispatcher.event_batching is False and client.is_event_arch_enabled:
        raise SdkError(
            "this client sends events of another form than any batch has, since its account has "
            "isEventArchEnabled and it does not batch: there is nothing to compare. Launch it with "
            "batch_events, then shadow it"
        )
    watched = Watched(
        shadower, queue, name=name_of, lists=lambda: (dispatcher.queue or (),),
        form=(lambda event: event) if dispatcher.event_batching else as_texts,
    )  # fmt: skip
    with dispatcher.lock:
        ShadowDispatch(dispatcher, watched).take_place()
        watched.begin()
    remember_shadow(client, watched)
