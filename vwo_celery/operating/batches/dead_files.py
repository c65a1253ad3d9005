"""The file format of exported dead letters: JSON Lines, one line a batch.

Beside an event's way; pure: nothing to lose. A line has the batch's story, and all its events as texts,
byte for byte; an event that is not UTF-8 is an object with its bytes in Base64. A digest shows a line
that was edited or cut off. The destination is there for a reader, without its key. Events may hold the
key; where that shall not leave, a mark stands in its place, and an import puts the key back.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.operating.batches.found import DeadBatch

#: Version of the format, and of lines with a mark in the key's place.
FORMAT_VERSION: Final = 1
MARKED_VERSION: Final = 2
#: Longest line that is read, in bytes: several times the largest batch, which JSON makes longer.
LONGEST_LINE_BYTES: Final = 128 * 1024 * 1024
_NAME: Final = re.compile(r"[\w.+~-]{1,200}", re.ASCII)

Number = Annotated[int, msgspec.Meta(ge=0, lt=10**15)]


class Base64(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event that is not UTF-8."""

    base64: str


class DeadLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: a batch, its destination, and its events.

    Attributes:
        version: `FORMAT_VERSION`, or `MARKED_VERSION`.
        queue: The queue that it was in.
        destination: The queue's destination, without its key.
        shard: Number of the shard that held it.
        batch: Its name.
        events: Number of events.
        size_bytes: Their size, a separator for each included.
        attempts: Attempts to deliver it.
        reason: Why it was dead-lettered.
        died_ms: Unix ms of its dead-lettering.
        first_ms: Unix ms at which its oldest event was enqueued.
        raw: Its events, the oldest first.
        sha256: Digest of all that, as hexadecimal digits, with the events as they were; see `digest`.
        mark: What stands in the events in place of the destination's key; "" where nothing does.
    """

    version: int
    queue: str
    destination: dict[str, Any]
    shard: Number
    batch: str
    events: Number
    size_bytes: Number = msgspec.field(name="bytes")
    attempts: Number
    reason: str
    died_ms: Number
    first_ms: Number
    raw: list[str | Base64]
    sha256: str
    mark: str = ""

    @property
    def encoded(self) -> list[bytes]:
        """The events as they were stored."""
        return [_decoded(event) for event in self.raw]


class BadLine(ValueError):
    """A line that cannot be imported; says why, and shows nothing of it."""


_decoder: Final = msgspec.json.Decoder(DeadLine)
#: All fields but the events, which are digested as bytes, the digest itself, and the mark.
_DIGESTED: Final = tuple(
    name for name in DeadLine.__struct_fields__ if name not in ("raw", "sha256", "mark")
)


def line_of(
    dead: DeadBatch, destination: Destination, events: Sequence[bytes], *, hide_key: bool = False
) -> bytes:
    """Encode one batch, its line break included.

    Args:
        dead: The batch.
        destination: Its queue's destination.
        events: All its events, the oldest first.
        hide_key: Whether a mark shall stand in place of the destination's key.
    """
    mark = _new_mark(destination.sdk_key, events) if hide_key else ""
    line = DeadLine(
        version=MARKED_VERSION if mark else FORMAT_VERSION,
        queue=dead.queue,
        destination=_without_key(destination),
        shard=dead.shard,
        batch=dead.batch,
        events=dead.events,
        size_bytes=dead.bytes,
        attempts=dead.attempts,
        reason=dead.reason,
        died_ms=dead.died_ms,
        first_ms=dead.first_ms,
        raw=[_encoded(_marked(event, destination.sdk_key, mark)) for event in events],
        sha256="",
        mark=mark,
    )
    return msgspec.json.encode(msgspec.structs.replace(line, sha256=digest(line, events))) + b"\n"


def _new_mark(sdk_key: str, events: Sequence[bytes]) -> str:
    """A text that none of the events has, for a key that some have; "" if none has it."""
    if not any(spelled in event for event in events for spelled in _spellings(sdk_key)):
        return ""
    while any((mark := f"SDK-key-{secrets.token_hex(8)}-").encode() in event for event in events):
        pass
    return mark


def _spellings(sdk_key: str) -> list[bytes]:
    """How an event may spell a key: as it is, and as JSON does."""
    return [each.encode() for each in sorted({sdk_key, json.dumps(sdk_key)[1:-1]}) if each]


def _marked(event: bytes, sdk_key: str, mark: str) -> bytes:
    for number, spelled in enumerate(_spellings(sdk_key) if mark else ()):
        event = event.replace(spelled, f"{mark}{number}".encode())
    return event


def restored(line: DeadLine, sdk_key: str) -> DeadLine:
    """The line with the key where its mark stands.

    Raises:
        BadLine: It was changed, or it had another key.
    """
    if not line.mark:
        return line
    events = line.encoded
    for number, spelled in enumerate(_spellings(sdk_key)):
        events = [event.replace(f"{line.mark}{number}".encode(), spelled) for event in events]
    whole = msgspec.structs.replace(line, raw=[_encoded(event) for event in events], mark="")
    try:
        _check(whole, events)
    except BadLine as exc:
        raise BadLine(f"{exc}; or its events had another SDK key than the queue has") from exc
    return whole


def _without_key(destination: Destination) -> dict[str, Any]:
    found: dict[str, Any] = {
        "generation": destination.generation,
        "account_id": str(destination.account_id),
        "origin": destination.origin,
        "region": destination.region,
        "sdk": list(destination.sdk),
    }
    if destination.spelled is not None:
        found["query"] = [list(pair) for pair in destination.spelled]
    return found


def digest(line: DeadLine, events: Iterable[bytes]) -> str:
    """Return the digest of a line's fields and events, each preceded by its length."""
    fields = [getattr(line, name) for name in _DIGESTED]
    found = hashlib.sha256(msgspec.json.encode(fields, order="sorted"))
    for event in events:
        found.update(b"%d:" % len(event))
        found.update(event)
    return found.hexdigest()


def read_line(text: bytes) -> DeadLine:
    """Decode one line, and check that it is whole and as it was written, unless `restored` does so.

    Raises:
        BadLine: It is not.
    """
    try:
        line = _decoder.decode(text)
        events = line.encoded
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        # The text of a decoding error names a place, and shows nothing that is there.
        why = exc if isinstance(exc, msgspec.MsgspecError) else "a text cannot be read"
        raise BadLine(f"it is cut off, or no line of an export: {why}") from exc
    if line.version != (MARKED_VERSION if line.mark else FORMAT_VERSION):
        raise BadLine(f"it has version {line.version} of the format; this release reads 1 and 2")
    if not line.mark:
        _check(line, events)
    if not events or not _NAME.fullmatch(line.batch):
        raise BadLine("it holds no events, or its name is none of a batch")
    return line


def _check(line: DeadLine, events: Sequence[bytes]) -> None:
    """See that a line is as it was written; raises `BadLine` if it is not."""
    if line.sha256 != digest(line, events):
        raise BadLine("it was changed after it was written: the digest is another one")
    if len(events) != line.events or sum(map(len, events)) + len(events) != line.size_bytes:
        raise BadLine("the number or the size of its events is another one than it says")


def _encoded(event: bytes) -> str | Base64:
    try:
        return event.decode("utf-8")
    except UnicodeDecodeError:
        return Base64(base64.b64encode(event).decode("ascii"))


def _decoded(event: str | Base64) -> bytes:
    if isinstance(event, str):
        return event.encode("utf-8")
    return base64.b64decode(event.base64, validate=True)
