"""Bodies: encodings undone, within bounds, until a body is bytes of UTF-8.

From here on an event's bytes are not changed. Pure: nothing to lose.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from vwo_celery.relay.reading.request import Request
from vwo_celery.relay.rules.answers import ENCODING, NOT_GZIP, NOT_JSON, TOO_LARGE, Refused
from vwo_celery.relay.rules.limits import MOST_BODY_BYTES

_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([\w.:-]+)", re.IGNORECASE)
#: Charsets of one byte a character that are honoured, by the names that clients write. Java's legacy
#: SDK declares ISO-8859-1, and encodes so (its HttpPostRequest.java).
_ONE_BYTE: Final = {
    "iso-8859-1": "latin-1",
    "iso8859-1": "latin-1",
    "latin-1": "latin-1",
    "latin1": "latin-1",
    "iso-8859-15": "iso-8859-15",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
}
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
#: Most members of a gzip stream; programs write one, and each costs a copy of what follows it.
_MOST_MEMBERS: Final = 16
#: zlib's window for a gzip stream.
_GZIP_WINDOW: Final = 31


def text_of(request: Request) -> bytes:
    """The request's body as JSON text in UTF-8; its syntax is not checked.

    Raises:
        Refused: Its encoding is unknown or broken, or it inflates beyond MOST_BODY_BYTES.
    """
    body = request.body
    encoding = request.headers.get(b"content-encoding")
    if encoding is not None:
        body = _decompressed(body, encoding.strip().lower())
    if body.isascii():
        return body
    return _as_utf8(body, request.header(b"content-type"))


def _decompressed(body: bytes, encoding: bytes) -> bytes:
    if encoding in (b"", b"identity"):
        return body
    if encoding in (b"gzip", b"x-gzip"):
        return _inflated(body)
    raise Refused(ENCODING)


def _inflated(body: bytes) -> bytes:
    """A gzip stream of one or more members, inflated; it stops at the bound."""
    found: list[bytes] = []
    left = MOST_BODY_BYTES
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            found.append(member.decompress(body, left + 1))
        except zlib.error as exc:
            raise Refused(NOT_GZIP) from exc
        left -= len(found[-1])
        if left < 0:
            raise Refused(TOO_LARGE)
        if not member.eof:
            break
        body = member.unused_data
        if not body:
            return b"".join(found)
    raise Refused(NOT_GZIP)


def _as_utf8(body: bytes, content_type: str) -> bytes:
    declared = _CHARSET.search(content_type)
    codec = _ONE_BYTE.get(declared[1].lower()) if declared else None
    if codec is None:
        try:
            body.decode()
        except UnicodeDecodeError:
            codec = "latin-1"  # which any bytes are
        else:
            return body.removeprefix(_BYTE_ORDER_MARK)
    try:
        return body.decode(codec).encode()
    except UnicodeDecodeError as exc:
        raise Refused(NOT_JSON) from exc
