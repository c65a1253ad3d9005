"""The one place that talks to VWO: a body goes out, an `Answer` comes back.

Place: edge, the "send" of claim, send, settle. A Sender belongs to one destination and keeps one
requests.Session for each process, so that batches share a connection and a forked child never
writes into its parent's. The session's adapter is asked directly: nothing there follows a
redirect, stores a cookie, decodes a body or reads ~/.netrc. Nothing is retried here; the batch
stays leased, and the queue tries again. If the process dies in here, the lease runs out and the
batch is sent again: VWO may then have it twice.
"""

from __future__ import annotations

import logging
import os
import re
import zlib
from base64 import b64encode
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
import requests
from requests.exceptions import InvalidProxyURL, SSLError
from requests.utils import get_auth_from_url, select_proxy
from urllib3.util import parse_url

from vwo_celery.destinations import Destination
from vwo_celery.errors import HostRefused
from vwo_celery.events import MAX_BODY_BYTES, MAX_EVENTS_PER_REQUEST
from vwo_celery.forks import PerProcess
from vwo_celery.sending.deadline import Deadline, DeadlineAdapter
from vwo_celery.sending.failures import FORESEEN, explain
from vwo_celery.sending.hosts import _DEFAULT_PORTS, host_allowed
from vwo_celery.sending.outcomes import Answer, Failure
from vwo_celery.text.masking import mask, scheme_only, without_secrets

#: An answer is a status and a sentence. What is longer is not read, and its connection is closed.
MAX_ANSWER_BYTES: Final = 65_536
_MOST_DETAIL_CHARACTERS: Final = 200
_MOST_HEADER_CHARACTERS: Final = 100
#: Idle connections to one host; one for each lane of a worker process.
_MOST_IDLE_CONNECTIONS: Final = 64
#: Sessions one process keeps open; beyond, the oldest is closed.
_MOST_SENDERS: Final = 64
_USER_AND_PASSWORD: Final = re.compile(r"//[^/@\s]+@")
_FIRST_FINAL_STATUS: Final = 200


class Sender:
    """Posts batches to one destination; may be shared by threads, and kept over a fork.

    Args:
        destination: Where to.
        request_timeout_seconds: Most time for one `send`, over 0. Name resolution aside, nothing
            that a server or proxy does can stretch it.
        allowed_hosts: Hosts besides VWO's own; see `host_allowed`.

    Raises:
        HostRefused: The destination's host is not one of them.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        request_timeout_seconds: float,
        allowed_hosts: Collection[str] = (),
    ) -> None:
        if not host_allowed(destination, allowed_hosts):
            raise HostRefused(
                f"a worker may not send to {destination.host or destination.origin!r}; nothing was "
                "sent. If it is meant, add it to the workers' setting allowed_hosts "
                "(VWO_CELERY_ALLOWED_HOSTS)"
            )
        self.destination = destination
        self._timeout_seconds = request_timeout_seconds
        self._lines = PerProcess(partial(_Line, destination))
        _keep_keys_out_of_logs()

    def send(self, body: bytes, *, events: int) -> Answer:
        """POST *body* once, and say what came of it.

        Args:
            body: The whole body, as `events.body` makes it.
            events: How many events are in it.

        Returns:
            The answer. Whatever goes wrong on the way is an answer, too; once a status has come,
            it stands, even if what follows it is late or broken.
        """
        beyond = _beyond_bounds(body, events)
        if beyond is not None:
            return beyond
        deadline = Deadline(self._timeout_seconds)
        try:
            return self._lines.get().post(body, deadline)
        except FORESEEN as exc:
            failure, text = explain(exc)
            return Answer(
                failure=failure,
                detail=_presentable(text, _masks(self.destination.sdk_key)),
                elapsed_seconds=deadline.elapsed_seconds,
            )

    def close(self) -> None:
        """Close the idle connections. A later `send` opens new ones."""
        line = self._lines.pop()
        if line is not None:
            line.session.close()

    def __repr__(self) -> str:
        return f"Sender({self.destination!r})"


class Senders:
    """The senders of one worker: one for each destination, made when first asked for.

    Args:
        request_timeout_seconds: As of `Sender`.
        allowed_hosts: As of `Sender`.
    """

    def __init__(
        self, *, request_timeout_seconds: float, allowed_hosts: Collection[str] = ()
    ) -> None:
        self._timeout_seconds = request_timeout_seconds
        self._allowed_hosts = tuple(allowed_hosts)
        self._senders: dict[Destination, Sender] = {}

    def get(self, destination: Destination) -> Sender:
        """The sender for *destination*.

        Raises:
            HostRefused: As of `Sender`.
        """
        sender = self._senders.get(destination)
        if sender is not None:
            return sender
        sender = Sender(
            destination,
            request_timeout_seconds=self._timeout_seconds,
            allowed_hosts=self._allowed_hosts,
        )
        # Each step is one atomic operation of dict: no lock that a fork could leave locked.
        sender = self._senders.setdefault(destination, sender)
        for oldest in list(self._senders)[:-_MOST_SENDERS]:
            forgotten = self._senders.pop(oldest, None)
            if forgotten is not None:
                forgotten.close()
        return sender

    def close(self) -> None:
        """Close the idle connections of all senders."""
        for sender in list(self._senders.values()):
            sender.close()


class _Line:
    """One process's session with one destination: proxies, CA bundle and headers settled once."""

    def __init__(self, destination: Destination) -> None:
        self.session = requests.Session()
        adapter = DeadlineAdapter(pool_connections=1, pool_maxsize=_MOST_IDLE_CONNECTIONS)
        for scheme in _DEFAULT_PORTS:
            self.session.mount(f"{scheme}://", adapter)
        self._adapter = adapter
        self._environment: dict[str, Any] = dict(
            self.session.merge_environment_settings(destination.url, {}, True, None, None)
        )
        proxy = select_proxy(destination.url, self._environment["proxies"])
        self._masks = _masks(destination.sdk_key, *_secrets_of(proxy))
        _check_bundle(self._environment["verify"])
        # From here on the environment is not asked again: that is a quarter of a request's time,
        # and a matching line in ~/.netrc would replace the Authorization header.
        self.session.trust_env = False
        self._request = self.session.prepare_request(
            requests.Request("POST", destination.url, headers=destination.headers)
        )

    def post(self, body: bytes, deadline: Deadline) -> Answer:
        """POST *body*; the exceptions of requests and urllib3 are the caller's to name."""
        request = self._request.copy()
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        settled = self._environment | {"timeout": deadline}
        response = self._adapter.send(request, **settled)
        content = _read_some(response)
        retry_after = response.headers.get("Retry-After")
        return Answer(
            status=response.status_code,
            detail="" if response.ok else _complaint(response, content, self._masks),
            retry_after=retry_after and retry_after[:_MOST_HEADER_CHARACTERS],
            elapsed_seconds=deadline.elapsed_seconds,
        )


def _secrets_of(proxy: str | None) -> list[str]:
    """What a proxy could repeat to us of its own URL.

    Raises:
        InvalidProxyURL: It cannot be parsed. Told apart from a destination that cannot be, since only
            the worker has it; any part of it may be a password, so that no text of it is shown.
    """
    try:
        parse_url(proxy or "")
        user, password = get_auth_from_url(proxy or "")
    except ValueError:  # LocationParseError is one
        raise InvalidProxyURL(
            f"the proxy is {scheme_only(str(proxy))} and cannot be parsed; in its user and password "
            "all but letters and digits must be percent-encoded"
        ) from None
    return [password, b64encode(f"{user}:{password}".encode()).decode()] if password else []


def _masks(key: str, *passwords: str) -> dict[str, str]:
    return {key: mask(key), **dict.fromkeys(passwords, "…")}


def _check_bundle(verify: object) -> None:
    """Tell a CA bundle that is not there from a server that is not."""
    if isinstance(verify, str) and not os.path.exists(verify):
        raise SSLError(
            f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names {verify!r}, which is not there; "
            "without it no certificate can be verified"
        )


def _beyond_bounds(body: bytes, events: int) -> Answer | None:
    """The answer to a batch that VWO would refuse for its size, before it is sent."""
    if len(body) > MAX_BODY_BYTES:
        detail = f"{len(body):,} bytes are over {MAX_BODY_BYTES:,}"
        return Answer(failure=Failure.BODY_TOO_LARGE, detail=detail)
    if events > MAX_EVENTS_PER_REQUEST:
        detail = f"{events:,} events are over {MAX_EVENTS_PER_REQUEST:,}"
        return Answer(failure=Failure.TOO_MANY_EVENTS, detail=detail)
    return None


def _read_some(response: requests.Response) -> bytes:
    """The answer's body up to a bound; leaves the connection usable, or closed.

    A body that breaks off or comes late is no failure: the status has come and stands.
    """
    raw: Any = response.raw
    if response.status_code < _FIRST_FINAL_STATUS:
        raw.close()  # the real answer is yet to come, and must not be taken for the next batch's
        return b""
    content = b""
    with suppress(*FORESEEN):
        content = raw.read(MAX_ANSWER_BYTES + 1, decode_content=False)
    if len(content) > MAX_ANSWER_BYTES:
        raw.close()
    raw.release_conn()
    return content[:MAX_ANSWER_BYTES]


def _complaint(response: requests.Response, content: bytes, masks: Mapping[str, str]) -> str:
    """What VWO says is wrong: `error` or `message` of a JSON object, else nothing."""
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
    return _presentable(text, masks)


def _presentable(text: str, masks: Mapping[str, str]) -> str:
    """*text* on one line, not too long, without a secret in any spelling or a URL's password."""
    text = without_secrets(_USER_AND_PASSWORD.sub("//…@", text), masks)
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(line.split())[:_MOST_DETAIL_CHARACTERS]


class _KeyFilter(logging.Filter):
    """Masks the key in urllib3's log, which has whole URLs: at DEBUG, of odd headers at WARNING."""

    _KEY = re.compile(r"([?&]env=)[^&\s\"']+")

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                self._KEY.sub(r"\1…", arg) if isinstance(arg, str) else arg for arg in record.args
            )
        return True


_KEY_FILTER: Final = _KeyFilter()


def _keep_keys_out_of_logs() -> None:
    for name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_KEY_FILTER)
