"""Ask VWO, or its gateway, something for an SDK, and hand the whole answer on.

Beside an event's way, for settings and what else SDKs fetch. One attempt within one deadline, over the
connections of the sender: certificates are verified, no redirect is followed, and the query, which holds
the SDK key, is written by the connection alone, where no tracer sees it. If the process dies in here, an
SDK gets no answer, and asks again.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import requests

from vwo_celery.forks import PerProcess
from vwo_celery.sending.deadline import Deadline
from vwo_celery.sending.environment import Environment, masks, presentable
from vwo_celery.sending.failures import FORESEEN, explain
from vwo_celery.sending.outcomes import Failure
from vwo_celery.sending.request_line import QUERY_HEADER, unsent
from vwo_celery.sending.sender import Connections
from vwo_celery.sending.wanted import Fetched, Wanted

_PIECE_BYTES: Final = 65_536
_FIRST_FINAL_STATUS: Final = 200
#: What is understood of an answer's encoding, beside none at all.
_ENCODINGS: Final = ("gzip", "x-gzip", "deflate")
#: Most addresses whose way is remembered.
_MOST_WAYS: Final = 64


class Fetcher:
    """Fetches what SDKs ask for; may be shared by threads, and kept over a fork.

    Args:
        timeout_seconds: Longest duration of one `fetch`; see `Sender`.
        most_bytes: Most bytes of a body, before and after inflating.
    """

    def __init__(self, *, timeout_seconds: float, most_bytes: int) -> None:
        self.timeout_seconds = timeout_seconds
        self._most_bytes = most_bytes
        self._connections = Connections()
        self._ways: PerProcess[dict[str, _Way]] = PerProcess(dict)

    def fetch(self, wanted: Wanted) -> Fetched:
        """Ask once; raises nothing that a network or a server can cause."""
        deadline = Deadline(self.timeout_seconds)
        try:
            return self._way(wanted.origin).fetch(
                wanted, deadline, self._connections, self._most_bytes
            )
        except FORESEEN as exc:
            failure, text = explain(exc)
            return Fetched(failure=failure, detail=presentable(text, masks(wanted.key)))

    def close(self) -> None:
        """Close the idle connections. A later `fetch` opens new ones."""
        self._ways.pop()
        self._connections.close()

    def _way(self, origin: str) -> _Way:
        ways = self._ways.get()
        way = ways.get(origin)
        if way is None:
            if len(ways) >= _MOST_WAYS:
                ways.clear()
            way = ways[origin] = _Way(origin)
        return way


class _Way:
    """One process' way to one host; reads proxies and CA bundle once, when it is made."""

    def __init__(self, origin: str) -> None:
        self._session = requests.Session()
        self._options = Environment(self._session, origin).options
        self._session.trust_env = False  # a matching line in ~/.netrc would add a header

    def fetch(
        self, wanted: Wanted, deadline: Deadline, connections: Connections, most_bytes: int
    ) -> Fetched:
        headers = {"Accept-Encoding": "gzip", **wanted.headers}
        request = self._session.prepare_request(
            requests.Request(
                wanted.method, f"{wanted.origin}{wanted.path}", headers, data=wanted.body
            )
        )
        request.headers.update(_hidden(wanted))
        settled = self._options | {"timeout": deadline}
        answer = connections.adapter.send(request, **settled)
        try:
            body = _read_whole(answer, most_bytes)
        except BaseException:
            answer.raw.close()
            raise
        if body is None:
            answer.raw.close()
            return Fetched(failure=Failure.INVALID_ANSWER, detail=f"status {answer.status_code}")
        answer.raw.release_conn()
        content_type = answer.headers.get("Content-Type", "")
        return Fetched(status=answer.status_code, content_type=content_type, body=body)


def _hidden(wanted: Wanted) -> dict[str, str]:
    """Headers by which the query goes to the connection, which sends neither of them."""
    if wanted.key:
        return unsent(wanted.query, wanted.key)
    return {QUERY_HEADER: wanted.query, "Authorization": ""}


def _read_whole(answer: requests.Response, most_bytes: int) -> bytes | None:
    """The answer's body; None if it is too large, not whole, or encoded in another way."""
    if answer.status_code < _FIRST_FINAL_STATUS:
        return None
    pieces: list[bytes] = []
    size = 0
    raw: Any = answer.raw
    while piece := raw.read(_PIECE_BYTES, decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if size > most_bytes:
            return None
    declared = answer.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) != size:
        return None
    return _inflated(b"".join(pieces), answer.headers.get("Content-Encoding", ""), most_bytes)


def _inflated(body: bytes, encoding: str, most_bytes: int) -> bytes | None:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in _ENCODINGS:
        return None
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        whole = stream.decompress(body, most_bytes + 1)
    except zlib.error:
        return None
    return whole if stream.eof and len(whole) <= most_bytes else None
