"""VWO's rules: one pure function from a request to an answer.

No I/O in here. Bounds and shapes are written down a second
time, not imported from the code under test: else both could be wrong together.

Sources: the vendor's batching pages (5,000 events, 10 MB, 413), the SDKs' handling of answers (400
for a wrong account or key; `error` in a 413's body and `message` in others), and requests recorded
from the unmodified SDKs (the shapes).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

MAX_EVENTS = 5_000
MAX_BODY_BYTES = 10_000_000

_REGION = r"(?:/([A-Za-z0-9_-]+))?"
_PREFIX = _REGION + r"/server-side/"
_BATCH = re.compile(_PREFIX + r"batch-events(-v2)?")
_SINGLE = re.compile(_REGION + r"/events/t")
_GET = re.compile(_PREFIX + r"(track-user|track-goal|push)")
#: What an event of the legacy SDKs must say that comes as a GET, by the end of its path.
_GET_NAMES = {
    "track-user": ("u", "sId", "experiment_id", "combination"),
    "track-goal": ("u", "sId", "experiment_id", "combination", "goal_id"),
    "push": ("u", "sId", "tags"),
}
_UNKNOWN_ACCOUNT = "Account id not found, no request app id found, or invalid API key"
_TOO_LARGE = "Payload size too large"
#: Escapes of surrogates: a pair is one letter, a lone one is JSON that msgspec does not read.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class Request(msgspec.Struct, frozen=True):
    """One request as it arrived.

    `status` is what it was answered with, 0 if it got no answer. `received_at` is Unix seconds.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    received_at: float
    status: int = 0

    @property
    def path(self) -> str:
        """The target's path."""
        return urlsplit(self.target).path

    @property
    def region(self) -> str:
        """The path's first segment, if it is the collection prefix of an endpoint; else ""."""
        path = self.path
        found = _BATCH.fullmatch(path) or _SINGLE.fullmatch(path) or _GET.fullmatch(path)
        return (found[1] or "") if found else ""

    @property
    def query(self) -> dict[str, str]:
        """The target's query, decoded, in the order of the wire."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def events(self) -> list[Any]:
        """The batch's events, decoded.

        Raises:
            ValueError: The body is no batch.
        """
        try:
            return msgspec.json.decode(self.body, type=_Batch[Any]).ev
        except msgspec.DecodeError:
            events: list[Any] = json.loads(self.body)["ev"]  # which reads lone surrogates
            return events


class Answer(msgspec.Struct, frozen=True):
    """An answer, and the events that VWO takes with it.

    `events` holds the bytes of each event taken, `times` the Unix seconds that they carry.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    events: tuple[bytes, ...] = ()
    times: tuple[float, ...] = ()

    @classmethod
    def of(cls, status: int, body: Any) -> Answer:
        """An answer that takes nothing, with *body* as JSON."""
        return cls(status, (("Content-Type", "application/json"),), msgspec.json.encode(body))


EventType = TypeVar("EventType")


class _Batch(msgspec.Struct, Generic[EventType]):
    ev: list[EventType]


class _LegacyEvent(msgspec.Struct, tag_field="eT"):
    u: str
    s_id: float = msgspec.field(name="sId")

    @property
    def time(self) -> float:
        return self.s_id


class _Visit(_LegacyEvent, tag=1):
    c: int
    e: int


class _Goal(_LegacyEvent, tag=2):
    c: int
    e: int
    g: int


class _CustomDimension(_LegacyEvent, tag=3):
    t: str


class _FmeDetails(msgspec.Struct):
    name: str
    props: dict[str, Any]
    time: float


class _FmeData(msgspec.Struct, rename="camel"):
    msg_id: str
    vis_id: str
    session_id: float
    event: _FmeDetails


class _FmeEvent(msgspec.Struct):
    d: _FmeData

    @property
    def time(self) -> float:
        return self.d.event.time / 1_000


class _Single(msgspec.Struct):
    d: dict[str, Any]


_ONE = msgspec.json.Decoder(_Single)
_RAW = msgspec.json.Decoder(_Batch[msgspec.Raw])
_LEGACY = msgspec.json.Decoder(_Batch[_Visit | _Goal | _CustomDimension])
_FME = msgspec.json.Decoder(_Batch[_FmeEvent])


def is_batch(path: str) -> bool:
    """Whether *path* is one of the two batch endpoints, with or without a region."""
    return _BATCH.fullmatch(path) is not None


def is_single(path: str) -> bool:
    """Whether *path* takes single events, with or without a region."""
    return _SINGLE.fullmatch(path) is not None


def is_event_get(path: str) -> bool:
    """Whether *path* takes an event of a legacy SDK as a GET, with or without a region."""
    return _GET.fullmatch(path) is not None


def judge_batch(request: Request, accounts: Mapping[str, str] | None) -> Answer:
    """Decide VWO's answer to a POST on a batch endpoint.

    Args:
        request: The request, its path one that `is_batch` knows.
        accounts: Account id to SDK key; None: any account, as long as the request agrees with
            itself.
    """
    refusal = _refuse_credentials(request, accounts)
    if refusal is None and len(request.body) > MAX_BODY_BYTES:
        refusal = Answer.of(413, {"error": _TOO_LARGE})
    return _judge_body(request) if refusal is None else refusal


def judge_single(request: Request, accounts: Mapping[str, str] | None) -> Answer:
    """Decide VWO's answer to a single event, a POST whose path `is_single` knows.

    It has no Authorization: the query has account and key. The SDKs' reports on their use go to an
    account of VWO's own, without a key or, from Python's 1.65, with that of the account they tell of.
    """
    query = request.query
    account, key = query.get("a", ""), query.get("env")
    is_report = key is None or query.get("en") == "vwo_sdkUsageStats"
    known = account.isdecimal() if accounts is None or is_report else accounts.get(account) == key
    if not known or not query.get("en") or key == "":
        return Answer.of(400, {"message": _UNKNOWN_ACCOUNT})
    if len(request.body) > MAX_BODY_BYTES:
        return Answer.of(413, {"error": _TOO_LARGE})
    try:
        _ONE.decode(_SURROGATE.sub(rb"\\ufffd", request.body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Answer.of(400, {"message": f"Malformed event: {error}"})
    return Answer.of(200, {"status": "success"})


def judge_event_get(request: Request, accounts: Mapping[str, str] | None) -> Answer:
    """Decide VWO's answer to a GET that is an event, whose path `is_event_get` knows.

    It has no Authorization: the query has account and key.
    """
    query = request.query
    account, key = query.get("account_id", ""), query.get("env", "")
    known = account.isdecimal() if accounts is None else accounts.get(account) == key
    if not known or not key:
        return Answer.of(400, {"message": _UNKNOWN_ACCOUNT})
    names = _GET_NAMES[request.path.rpartition("/")[2]]
    lacking = [name for name in names if not query.get(name)]
    if lacking:
        return Answer.of(400, {"message": f"Malformed event: {', '.join(lacking)} is missing"})
    return Answer.of(200, {"status": "success"})


def _refuse_credentials(request: Request, accounts: Mapping[str, str] | None) -> Answer | None:
    key = request.header("Authorization")
    if not key:
        return Answer.of(401, {"message": "Authorization header is missing"})
    query = request.query
    account = query.get("a", "")
    known = account.isdecimal() if accounts is None else accounts.get(account) == key
    if not known or query.get("env") != key:
        return Answer.of(400, {"message": _UNKNOWN_ACCOUNT})
    return None


def _judge_body(request: Request) -> Answer:
    fme = request.path.endswith("-v2")
    # The SDKs send the lone surrogate of a truncated emoji as its escape, which is JSON (RFC 8259).
    body = _SURROGATE.sub(rb"\\ufffd", request.body)
    try:
        raw = _RAW.decode(body).ev
        if len(raw) > MAX_EVENTS:
            return Answer.of(413, {"error": _TOO_LARGE})
        batch = _FME.decode(body) if fme else _LEGACY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Answer.of(400, {"message": f"Malformed batch: {error}"})
    answer = Answer.of(200, {"status": "success"})
    return msgspec.structs.replace(
        answer,
        events=tuple(_cut(request.body, body, raw)),
        times=tuple(event.time for event in batch.ev),
    )


def _cut(body: bytes, read: bytes, parts: list[msgspec.Raw]) -> Iterator[bytes]:
    """Cut *parts* of *read*, in order, out of *body*, which is as long and differs in escapes."""
    end = 0
    for part in parts:
        start = read.index(bytes(part), end)
        end = start + len(bytes(part))
        yield body[start:end]
