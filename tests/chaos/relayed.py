"""A queue that is reached through `vwo-celery relay`: an HTTP client as the SDKs have one.

It offers what an application needs of a `vwo_celery.Queue`. What got no 200 is sent again, to the next
relay, as SDKs and load balancers do, only sooner; its receipt says how often. So an event that was
answered 200 is promised, and may have been stored once more for each repeat; one that never was may be
there or not.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tools.relays import read_answer, request

#: What the clients say of their SDK, by generation.
SPELLINGS = {
    "legacy": (("sdk", "php"), ("sdk-v", "1.70.0")),
    "fme": (("sn", "vwo-fme-php-sdk"), ("sv", "1.55.0")),
}
#: The clients that there are: of both generations, and one that sends PHP's way.
FORMS = ("legacy", "fme", "closing")
_TIMEOUT_SECONDS = 20.0
#: SDKs wait for seconds; a fault ends sooner.
_PAUSE_SECONDS = 0.1
_MOST_TRIES = 200
#: What PHP's FME SDK sends after its body, before it closes without reading.
_STRAY_BYTES = b"Connection: close\r\n\r\n"


class Answered(NamedTuple):
    """What became of an event; the fields of `vwo_celery.Receipt`, with places of their own.

    Attributes:
        where: "answered" for a 200, "sent" by a client that reads no answer, "unanswered", or
            "dropped" if the relay refused it.
        reason: Why it was refused, or "again:N" for N repeats.
    """

    where: str
    reason: str = ""


class RelayedQueue:
    """The queue of one account and generation, behind one or more relays.

    Args:
        ports: The relays' ports.
        form: One of FORMS.
        account: VWO account.
        sdk_key: That account's key.
    """

    def __init__(self, ports: Sequence[int], form: str, account: int, sdk_key: str) -> None:
        self._ports = tuple(ports)
        self._is_legacy = form == "legacy"
        self._closes = form == "closing"
        spelling = SPELLINGS["legacy" if self._is_legacy else "fme"]
        self._query = {"a": account, "env": sdk_key, **dict(spelling)}
        self._connections: dict[int, http.client.HTTPConnection] = {}
        self._turn = 0

    def enqueue(self, event: dict[str, Any]) -> Answered:
        """Send one event of the legacy form: as a GET, or as a single POST of an FME SDK."""
        if self._closes:
            return self._send_and_close(event)
        if self._is_legacy:
            return self._send_until_answered("GET", _track_user(self._query, event), b"")
        return self._send_until_answered("POST", self._single(), _body(fme_event(event)))

    def enqueue_many(self, events: Sequence[dict[str, Any]]) -> list[Answered]:
        """Send events in one batch; those of a client that closes one by one."""
        if self._closes:
            return [self._send_and_close(event) for event in events]
        name = "batch-events" if self._is_legacy else "batch-events-v2"
        batch = {"ev": [event if self._is_legacy else fme_event(event) for event in events]}
        target = f"/server-side/{name}?{urlencode(self._query)}"
        return [self._send_until_answered("POST", target, _body(batch))] * len(events)

    def _single(self) -> str:
        return f"/events/t?{urlencode({'en': 'purchase', **self._query})}"

    def _send_until_answered(self, method: str, target: str, body: bytes) -> Answered:
        for tries in range(_MOST_TRIES):
            status = self._send(method, target, body)
            if status == http.HTTPStatus.OK:
                return Answered("answered", f"again:{tries}" if tries else "")
            if status and status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                return Answered("dropped", f"status:{status}")
            threading.Event().wait(_PAUSE_SECONDS)
        return Answered("unanswered", f"again:{_MOST_TRIES - 1}")

    def _send(self, method: str, target: str, body: bytes) -> int:
        """Send to the next relay; the status of its answer, 0 if there was none."""
        port = self._next_port()
        connection = self._connections.get(port)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
            self._connections[port] = connection
        headers = {"Authorization": str(self._query["env"])} if body else {}
        try:
            connection.request(method, target, body or None, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return 0
        return answer.status

    def _send_and_close(self, event: dict[str, Any]) -> Answered:
        """Send as PHP does: a connection for each event, stray bytes, and no look at the answer."""
        data = request(self._single(), _body(fme_event(event))) + _STRAY_BYTES
        address = ("127.0.0.1", self._next_port())
        try:
            with socket.create_connection(address, _TIMEOUT_SECONDS) as sock:
                sock.sendall(data)
        except OSError:
            return Answered("unanswered")
        return Answered("sent")

    def _next_port(self) -> int:
        self._turn += 1
        return self._ports[self._turn % len(self._ports)]


class Held:
    """Requests that were sent whole, each on a connection of its own, and that wait for their answers.

    Args:
        port: The relay's port.
        account: VWO account.
        sdk_key: That account's key.
        events: Events of the legacy form, one for each request.
    """

    def __init__(
        self, port: int, account: int, sdk_key: str, events: Sequence[dict[str, Any]]
    ) -> None:
        query = urlencode({"a": account, "env": sdk_key, **dict(SPELLINGS["legacy"])})
        self._socks = []
        for event in events:
            sock = socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)
            sock.sendall(request(f"/server-side/batch-events?{query}", _body({"ev": [event]})))
            self._socks.append(sock)

    @property
    def ports(self) -> set[int]:
        """Their local ports."""
        return {sock.getsockname()[1] for sock in self._socks}

    def answers(self) -> list[int]:
        """Status of each, 0 where the connection ended without an answer."""
        statuses = []
        for sock in self._socks:
            with sock:
                statuses.append(read_answer(sock).status)
        return statuses


def _track_user(query: dict[str, Any], event: dict[str, Any]) -> str:
    """The legacy SDKs' GET for an event of `batch-events`."""
    return "/server-side/track-user?" + urlencode(
        {
            **{name: value for name, value in query.items() if name != "a"},
            "account_id": query["a"], "experiment_id": event["e"], "combination": event["c"],
            "u": event["u"], "sId": event["sId"], "ap": "server", "ed": '{"p":"server"}',
        }
    )  # fmt: skip


def fme_event(event: dict[str, Any]) -> dict[str, Any]:
    """An FME SDK's event with the name and the time of a legacy one."""
    name, seconds = event["u"], event["sId"]
    inner = {"name": "purchase", "props": {"visitor_ua": ""}, "time": 1000 * seconds}
    return {
        "d": {"msgId": f"{name}-{seconds}", "visId": name, "sessionId": seconds, "event": inner}
    }


def _body(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()
