"""Answers: what an SDK gets, in VWO's words where those are known.

Node's legacy SDK reads `error` of a 413 and `message` of any other status, so a refusal has both. No
answer holds a key, nor anything else of the request. Pure: nothing to lose.
"""

from __future__ import annotations

import http
from collections.abc import Sequence

import msgspec

from vwo_celery.destinations import RELAY_HEADER
from vwo_celery.relay.rules.limits import RETRY_AFTER_SECONDS

Headers = Sequence[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")
#: Tells of a copy that should have been fetched anew.
_STALE = (b"x-vwo-celery", b"stale")
#: By this a worker knows that a relay answers in VWO's name.
_OURS = (RELAY_HEADER.lower().encode(), b"1")
_RETRY = (b"retry-after", str(RETRY_AFTER_SECONDS).encode())


class Answer(msgspec.Struct, frozen=True):
    """One answer.

    Attributes:
        status: HTTP status.
        body: The body.
        headers: All headers but those of CORS.
        reason: One word for the counts; "" for success.
    """

    status: int
    body: bytes
    headers: Headers
    reason: str = ""

    def as_bytes(self) -> bytes:
        """The answer as it goes on the wire, for a connection that is closed after it."""
        phrase = http.HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}".encode()]
        headers = self.headers if _CLOSE in self.headers else (*self.headers, _CLOSE)
        lines += [name + b": " + value for name, value in headers]
        return b"\r\n".join([*lines, b"", self.body])


class Refused(Exception):
    """A request that is not accepted; nothing of it is stored.

    Attributes:
        answer: What its client gets.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


def _answer(status: int, body: bytes, *more: tuple[bytes, bytes], reason: str = "") -> Answer:
    length = (b"content-length", str(len(body)).encode())
    return Answer(status, body, (_JSON, length, _OURS, *more), reason)


def refusal(status: int, reason: str, message: str, *more: tuple[bytes, bytes]) -> Answer:
    """An answer that says why a request is not accepted.

    Args:
        status: HTTP status.
        reason: One word for the counts.
        message: One sentence, without a full stop.
        more: Further headers.
    """
    body = msgspec.json.encode({"message": message, "error": message})
    return _answer(status, body, *more, reason=reason)


def passed_on(
    status: int, content_type: str, body: bytes, stale_seconds: int | None = None
) -> Answer:
    """An answer of VWO's.

    Args:
        status: Its status.
        content_type: Its type, "" for JSON.
        body: Its body.
        stale_seconds: Age of a copy that should have been fetched anew; None for any other answer.
    """
    kind = (b"content-type", content_type.encode("latin-1")) if content_type else _JSON
    length = (b"content-length", str(len(body)).encode())
    if stale_seconds is None:
        return Answer(status, body, (kind, length))
    age = (b"age", str(stale_seconds).encode())
    return Answer(status, body, (kind, length, age, _STALE))


SUCCESS = _answer(200, b'{"status":"success"}')
HEALTHY = _answer(200, b'{"status":"ok"}')
NO_CONTENT = Answer(204, b"", ())

#: VWO's words for a settings request with a wrong key (vendor's page "HTTP requests").
UNKNOWN_KEY = refusal(400, "access", "Invalid api key")
OTHER_KEY = refusal(400, "access", "Invalid api key: the request names different keys")
NOT_JSON = refusal(400, "body", "the body is not JSON of the kind that this path takes")
NO_EVENTS = refusal(400, "body", 'the body has no list "ev"')
NO_EVENT = refusal(400, "body", 'the body has no object "d"')
NO_USABLE_EVENT = refusal(400, "body", "no item of the body is an event of this path")
NOT_GZIP = refusal(400, "body", "the body is no whole gzip stream")
BAD_REQUEST = refusal(400, "http", "this is no HTTP request")
NO_UPGRADE = refusal(400, "http", "the relay speaks HTTP/1.1: send a body without Upgrade")
UNKNOWN_PATH = refusal(404, "path", "unknown path")
NO_SENDER = refusal(
    400, "report", "the report does not say whose it is: vwoMeta has no account (a) and key (env)"
)
OTHER_REPORT = refusal(400, "report", "the body is another event than the query names")
NOT_FORWARDABLE = refusal(
    400, "field", "the request's query or headers cannot be sent on, or name another account or key"
)
TOO_SLOW = refusal(408, "slow", "the request took too long")
#: VWO's words, as all its SDKs document them.
TOO_LARGE = refusal(413, "large", "Payload size too large")
ENCODING = refusal(
    415, "encoding", "the body's encoding is neither gzip nor identity", (b"accept-encoding", b"gzip")
)  # fmt: skip
HEADER_TOO_LARGE = refusal(431, "header", "the request line and headers are too large")
NOT_STORED = refusal(503, "not_stored", "the events could not be stored; send them again", _RETRY)
TOO_BUSY = refusal(503, "busy", "too many connections; send it again", _RETRY)
TOO_MANY_SDKS = refusal(
    503, "too_many_sdks", "too many SDK names and regions of this account and key", _RETRY
)
NO_SETTINGS = refusal(
    503, "no_settings", "VWO gives no settings now, and the relay has no copy of them", _RETRY
)
NO_GATEWAY = refusal(503, "no_gateway", "the gateway does not answer", _RETRY)
NOT_READY = refusal(503, "not_ready", "neither Redis nor this host's disk takes events", _RETRY)
FAULT = refusal(503, "fault", "the relay met a fault of its own; send it again", _RETRY)


def missing(name: str) -> Refused:
    """The refusal of a request that lacks a field, or has one that cannot be used."""
    return Refused(refusal(400, "field", f"{name} is missing, or is not what it must be"))


def wrong_method(allowed: str) -> Refused:
    """The refusal of a method that a path does not take."""
    allow = (b"allow", allowed.encode())
    return Refused(refusal(405, "method", f"this path takes {allowed} only", allow))
