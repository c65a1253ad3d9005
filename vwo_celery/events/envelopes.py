"""Envelopes: requests that are sent one by one and whole, each stored as one event.

Stages 1 and 4 of an event's way, for destinations of the generation "single": events that have no form
in a batch. An envelope has the request's target, a few headers, and its body byte for byte; account,
host and region are the destination's. The SDK key stands in the target only as a mark, so that
neither Redis nor an export nor a screen has it there. Other programs may push anything: what comes
out of an envelope is checked again. Pure: nothing to lose.

Source: requests of the vendor's SDKs, run or read. `POST /events/t` has no Authorization; the visitor
is in two headers of VWO's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote_plus, unquote_plus

import msgspec

from vwo_celery.errors import EventError
from vwo_celery.events.bodies import SURROGATE
from vwo_celery.events.encoding import encode

#: Path of the requests, after the region.
SINGLE_PATH: Final = "/events/t"
#: Name of the SDKs' reports on how they are used, which go to an account of VWO's own.
USAGE_STATISTICS: Final = "vwo_sdkUsageStats"
#: Headers that an envelope keeps; a visitor's browser and address are the last two.
ENVELOPE_HEADERS: Final = (
    "User-Agent", "Content-Type", "X-Device-User-Agent", "VWO-X-Forwarded-For"
)  # fmt: skip
#: Mark in a target for the SDK key; no target can have it by itself, since it holds a space.
KEY_MARK: Final = "<SDK key>"
#: The reason of an event that is no envelope of its destination.
NOT_SINGLE: Final = "not_single"

_SUBJECT: Final = "the event "
_KEPT: Final = {name.lower(): name for name in ENVELOPE_HEADERS}
_TARGET: Final = re.compile(rf"{re.escape(SINGLE_PATH)}(?:\?[!-~]*)?")
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")


class Envelope(msgspec.Struct, frozen=True):
    """A request that is sent as it came.

    Attributes:
        target: Path and query, with the SDK key where the SDK wrote it.
        headers: Those of `ENVELOPE_HEADERS` that the SDK sent, in Latin-1 as HTTP reads them.
        body: The body: one JSON object.
    """

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> str:
        """The target's query as it was spelled; "" for none."""
        return self.target.partition("?")[2]


class _Stored(msgspec.Struct):
    target: str
    headers: dict[str, str]
    body: msgspec.Raw


_read = msgspec.json.Decoder(_Stored).decode


def wrap(
    target: str, headers: Mapping[str, str], body: bytes, *, account_id: int | str, sdk_key: str
) -> bytes:
    """Put a request into an envelope.

    Args:
        target: Path and query as they came, without the region: `SINGLE_PATH`, then perhaps "?".
        headers: Its headers, in any case; those of `ENVELOPE_HEADERS` are kept, also empty ones.
        body: Its body, one JSON object in UTF-8, kept byte for byte.
        account_id: The destination's account.
        sdk_key: The destination's SDK key.

    Returns:
        The event to enqueue at a destination of the generation "single".

    Raises:
        EventError: "not_single": the request cannot be sent as it is, or names another account or
            key. "not_json", "not_an_object" or "too_large": its body is no JSON object, or it is too
            large. No message shows a part of the request.
    """
    kept = {_KEPT[name.lower()]: value for name, value in headers.items() if name.lower() in _KEPT}
    _check(Envelope(target, kept, body), account_id, sdk_key)
    head = msgspec.json.encode({"target": _marked(target, sdk_key), "headers": kept})
    return encode(b'%b,"body":%b}' % (head[:-1], encode(body)))


def _marked(target: str, key: str) -> str:
    """A target with the mark for the key, however it is spelled; the path is left alone."""
    path, begin, query = target.partition("?")
    spelled = re.compile("|".join(map(re.escape, (quote_plus(key), key))))
    pairs = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if unquote_plus(value) == key:
            pairs.append(f"{name}{equals}{KEY_MARK}")
        else:
            pairs.append(spelled.sub(KEY_MARK, pair))
    return f"{path}{begin}{'&'.join(pairs)}"


def unwrap(event: bytes, *, account_id: int | str, sdk_key: str) -> Envelope:
    """Take a request out of its envelope.

    Args:
        event: The event as it was stored.
        account_id: The destination's account.
        sdk_key: The destination's SDK key, which goes where the SDK wrote its own.

    Raises:
        EventError: "not_single": it is no envelope, or not one of this destination. The message
            completes a sentence that begins with "the event".
    """
    stored, body = _opened(event)
    target = stored.target.replace(KEY_MARK, quote_plus(sdk_key))
    kept = {name: value for name, value in stored.headers.items() if name in ENVELOPE_HEADERS}
    found = Envelope(target, kept, body)
    _check(found, account_id, sdk_key)
    return found


def misfits(
    events: Sequence[bytes], *, account_id: int | str, sdk_key: str
) -> list[tuple[int, str]]:
    """Find the events that are no envelope of this destination; index and reason of each, in order."""
    found = []
    for index, event in enumerate(events):
        try:
            unwrap(event, account_id=account_id, sdk_key=sdk_key)
        except EventError as exc:
            found.append((index, str(exc).removeprefix(_SUBJECT)))
    return found


def _opened(event: bytes) -> tuple[_Stored, bytes]:
    """An envelope, and the bytes of its body."""
    try:
        stored = _read(event)
        return stored, bytes(stored.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        plain = SURROGATE.sub(rb"\\u0041", event)  # lone ones are JSON, which msgspec does not read
    try:
        stored = _read(plain)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _not_single("is no envelope of a single request") from exc
    start, length = plain.rindex(bytes(stored.body)), len(bytes(stored.body))
    if event[:start] != plain[:start] or plain[start + length :].strip() != b"}":
        raise _not_single("is an envelope with half a character outside its body")
    return stored, event[start : start + length]


def _check(found: Envelope, account_id: int | str, sdk_key: str) -> None:
    if not _TARGET.fullmatch(found.target):
        raise _not_single(f"is a request to another path than {SINGLE_PATH}, or cannot be sent")
    if not all(_VALUE.fullmatch(value) for value in found.headers.values()):
        raise _not_single("has a header that HTTP cannot carry")
    if not found.body.lstrip().startswith(b"{"):
        raise _not_single("has a body that is no JSON object")
    named = parse_qsl(found.query, keep_blank_values=True)
    keys = [value for name, value in named if name == "env"]
    accounts = [value for name, value in named if name == "a"]
    if any(key != sdk_key for key in keys):
        raise _not_single("names another SDK key than its queue")
    # The SDKs' reports on their use go to an account of VWO's: without a key, or from Python's 1.65 on
    # with that of the account that they tell of.
    names = {value for name, value in named if name == "en"}
    is_own = keys and names != {USAGE_STATISTICS}
    if is_own and any(account != str(account_id) for account in accounts):
        raise _not_single("names another account than its queue")


def _not_single(why: str) -> EventError:
    return EventError(NOT_SINGLE, _SUBJECT + why)
