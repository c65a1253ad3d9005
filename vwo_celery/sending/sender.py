"""Send one body to VWO and return an `Answer`; the only module that makes a POST.

Stage 4 of an event's way. A Sender belongs to one destination; the senders of a worker share the
connections of its process, which belong to a host: all accounts at VWO use the same ones, and a forked
child never writes into its parent's. It calls requests' adapter directly, which follows no redirect,
stores no cookie, decodes no body and does not read ~/.netrc. Nothing is retried here; the batch stays
leased, and a later attempt sends it again. If the process dies in here, the lease runs out and the
batch is sent again: VWO may then get it twice.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
import requests

from vwo_celery.destinations import COLLECTION_HOSTS, RELAY_HEADER, Destination
from vwo_celery.errors import EventError, HostRefused
from vwo_celery.events import MAX_BODY_BYTES, MAX_EVENTS_PER_REQUEST, unwrap
from vwo_celery.forks import PerProcess
from vwo_celery.sending.deadline import Deadline, DeadlineAdapter, is_instrumented
from vwo_celery.sending.environment import Environment, masks, presentable
from vwo_celery.sending.failures import FORESEEN, explain
from vwo_celery.sending.hosts import host_refusal
from vwo_celery.sending.outcomes import Answer, Failure
from vwo_celery.sending.request_line import masked, unsent
from vwo_celery.tracing.attempts import posting

#: Longest body of an answer that is read, which is a sentence at most; a longer one closes the
#: connection.
MAX_ANSWER_BYTES: Final = 65_536
#: Longest `Retry-After` that is kept.
_MOST_HEADER_CHARACTERS: Final = 100
#: Most idle connections to one host: one for each lane of a worker process.
_MOST_IDLE_CONNECTIONS: Final = 64
#: Most hosts to which a process keeps idle connections; beyond them, those of the host that was used
#: longest ago are closed.
_MOST_HOSTS: Final = 256
#: Most senders of one worker; beyond them, the one used longest ago is dropped. It holds a prepared
#: request and no connection.
_MOST_SENDERS: Final = 1024
_FIRST_FINAL_STATUS: Final = 200


class Sender:
    """Posts batches to one destination; may be shared by threads, and kept over a fork.

    Args:
        destination: Where the batches go.
        request_timeout_seconds: Longest duration of one `send`, over 0. Nothing that a server or
            proxy does can exceed it, but the system's name resolution can.
        allowed_hosts: Hosts besides VWO's own; see `host_allowed`.
        connections: Connections to share with other senders; by default it has its own.

    Raises:
        HostRefused: A worker may not send to the destination's host.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        request_timeout_seconds: float,
        allowed_hosts: Collection[str] = (),
        connections: Connections | None = None,
    ) -> None:
        if refusal := host_refusal(destination, allowed_hosts):
            raise HostRefused(refusal)
        self.destination = destination
        self._timeout_seconds = request_timeout_seconds
        self._connections = connections if connections is not None else Connections()
        self._clients = PerProcess(partial(_Client, destination))

    def send(self, body: bytes, *, events: int) -> Answer:
        """POST *body* once.

        Args:
            body: The whole body, as `events.body` makes it.
            events: Number of events in it.

        Returns:
            The answer, also after an error on the way. A status that has arrived stands, even if
            the rest of the answer is late or broken.
        """
        beyond = _beyond_bounds(body, events)
        if beyond is not None:
            return beyond
        return self._post(body, {}, Deadline(self._timeout_seconds))

    def send_single(self, encoded: Sequence[bytes]) -> Answer:
        """POST one event as the request that it was.

        Args:
            encoded: The event, an envelope; of several, none is sent.

        Returns:
            As `send`. An event that is no envelope is answered with Failure.CONFIGURATION.
        """
        if len(encoded) != 1:
            detail = f"{len(encoded):,} events, which are sent one by one"
            return Answer(failure=Failure.TOO_MANY_EVENTS, detail=detail)
        whose, deadline = self.destination, Deadline(self._timeout_seconds)
        try:
            found = unwrap(encoded[0], account_id=whose.account_id, sdk_key=whose.sdk_key)
        except EventError as exc:
            return Answer(failure=Failure.CONFIGURATION, detail=str(exc))
        headers = found.headers | unsent(found.query, whose.sdk_key)
        return self._post(found.body, headers, deadline)

    def _post(self, body: bytes, headers: Mapping[str, str], deadline: Deadline) -> Answer:
        if is_instrumented():
            return self._answer(body, headers, deadline)
        with posting(self.destination.url) as note:
            answer = self._answer(body, headers, deadline)
            note(answer.status, answer.word)
        return answer

    def _answer(self, body: bytes, headers: Mapping[str, str], deadline: Deadline) -> Answer:
        try:
            return self._clients.get().post(body, headers, deadline, self._connections.adapter)
        except FORESEEN as exc:
            failure, text = explain(exc)
            return Answer(
                failure=failure,
                detail=presentable(text, masks(self.destination.sdk_key)),
                elapsed_seconds=deadline.elapsed_seconds,
            )

    def close(self) -> None:
        """Close the idle connections. A later `send` opens new ones."""
        self._clients.pop()
        self._connections.close()

    def __repr__(self) -> str:
        return f"Sender({self.destination!r})"


class Connections:
    """The connections of each process to all hosts; those to one host are shared by its senders."""

    def __init__(self) -> None:
        self._adapters = PerProcess(_new_adapter)

    @property
    def adapter(self) -> DeadlineAdapter:
        """This process' adapter; safe under threads and greenlets."""
        return self._adapters.get()

    def close(self) -> None:
        """Close the idle connections of this process; the next request opens new ones."""
        adapter = self._adapters.pop()
        if adapter is not None:
            adapter.close()


def _new_adapter() -> DeadlineAdapter:
    return DeadlineAdapter(pool_connections=_MOST_HOSTS, pool_maxsize=_MOST_IDLE_CONNECTIONS)


class Senders:
    """The senders of one worker: one for each destination, made at its first use.

    Args:
        request_timeout_seconds: See `Sender`.
        allowed_hosts: See `Sender`.
    """

    def __init__(
        self, *, request_timeout_seconds: float, allowed_hosts: Collection[str] = ()
    ) -> None:
        self._timeout_seconds = request_timeout_seconds
        self._allowed_hosts = tuple(allowed_hosts)
        self._connections = Connections()
        self._senders: dict[Destination, Sender] = {}  # the one used last stands last

    def get(self, destination: Destination) -> Sender:
        """Return the sender for *destination*.

        Raises:
            HostRefused: A worker may not send to its host.
        """
        # Atomic operations of dict instead of a lock, which a fork could leave locked. A thread that
        # comes between the two makes a sender of its own, which costs no connection.
        sender = self._senders.pop(destination, None)
        if sender is None:
            sender = Sender(
                destination,
                request_timeout_seconds=self._timeout_seconds,
                allowed_hosts=self._allowed_hosts,
                connections=self._connections,
            )
        self._senders[destination] = sender
        if len(self._senders) > _MOST_SENDERS:
            for unused in list(self._senders)[:-_MOST_SENDERS]:
                self._senders.pop(unused, None)
        return sender

    def close(self) -> None:
        """Close the idle connections of all senders."""
        self._connections.close()


#: A relay has stored the events anew: this batch is kept, and the queue paused, before it comes again.
_LOOP: Final = (
    "a relay answered in VWO's name, so this worker's DNS or hosts file leads VWO's host to it: let "
    "only the SDKs' applications see that entry, then resume the queue"
)


class _Client:
    """One process' request to one destination; reads proxies and CA bundle once, when it is made."""

    def __init__(self, destination: Destination) -> None:
        session = requests.Session()
        self._is_vwos = destination.host in COLLECTION_HOSTS
        environment = Environment(session, destination.url)
        self._options = environment.options
        self._masks = environment.masks(destination.sdk_key)
        # Do not read the environment again: that takes a quarter of a request's time, and a matching
        # line in ~/.netrc would replace the Authorization header.
        session.trust_env = False
        self._request = session.prepare_request(
            requests.Request("POST", destination.url, headers=destination.headers)
        )
        self._request.url = masked(str(self._request.url), destination.sdk_key)

    def post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        deadline: Deadline,
        adapter: DeadlineAdapter,
    ) -> Answer:
        """POST *body* with further headers; raises the exceptions of `failures.FORESEEN`."""
        request = self._request.copy()
        request.body = body
        request.headers.update(headers)
        request.headers["Content-Length"] = str(len(body))
        settled = self._options | {"timeout": deadline}
        response = adapter.send(request, **settled)
        content = _read_some(response)
        if self._is_vwos and RELAY_HEADER in response.headers:
            return Answer(
                failure=Failure.CONFIGURATION,
                detail=_LOOP,
                elapsed_seconds=deadline.elapsed_seconds,
            )
        retry_after = response.headers.get("Retry-After")
        return Answer(
            status=response.status_code,
            detail="" if response.ok else _complaint(response, content, self._masks),
            retry_after=retry_after and retry_after[:_MOST_HEADER_CHARACTERS],
            elapsed_seconds=deadline.elapsed_seconds,
        )


def _beyond_bounds(body: bytes, events: int) -> Answer | None:
    """Return the answer to a batch over VWO's limits, which is not sent; None within them."""
    if len(body) > MAX_BODY_BYTES:
        detail = f"{len(body):,} bytes are over {MAX_BODY_BYTES:,}"
        return Answer(failure=Failure.BODY_TOO_LARGE, detail=detail)
    if events > MAX_EVENTS_PER_REQUEST:
        detail = f"{events:,} events are over {MAX_EVENTS_PER_REQUEST:,}"
        return Answer(failure=Failure.TOO_MANY_EVENTS, detail=detail)
    return None


def _read_some(response: requests.Response) -> bytes:
    """Read the answer's body up to a bound, and leave the connection usable or closed.

    A body that breaks off or comes late is no failure: the status has arrived and stands.
    """
    raw: Any = response.raw
    if response.status_code < _FIRST_FINAL_STATUS:
        raw.close()  # the final answer is still to come, and must not be taken for that to the next batch
        return b""
    content = b""
    with suppress(*FORESEEN):
        content = raw.read(MAX_ANSWER_BYTES + 1, decode_content=False)
    if len(content) > MAX_ANSWER_BYTES:
        raw.close()
    raw.release_conn()
    return content[:MAX_ANSWER_BYTES]


def _complaint(response: requests.Response, content: bytes, masks: Mapping[str, str]) -> str:
    """Return VWO's reason: `error` or `message` of a JSON object, else ""."""
    if "gzip" in response.headers.get("Content-Encoding", ""):
        with suppress(zlib.error):
            content = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content, MAX_ANSWER_BYTES)
    try:
        answer: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    said = answer.get("error") or answer.get("message") or ""
    text = said if isinstance(said, str) else msgspec.json.encode(said).decode()
    return presentable(text, masks)
