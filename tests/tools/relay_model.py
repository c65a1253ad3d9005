"""A simple model of the relay: what must become of any request.

It reads JSON with Python's own reader, queries with urllib, and gzip with its module. It says each
request's status, and which items of it are stored in whose queue, byte for byte.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any
from urllib.parse import parse_qsl, unquote

from tools.any_requests import ALLOWED, BATCHES, BOMB, EVENT, MOST_NESTING, SAID, Sent
from vwo_celery.destinations import Destination


class Refusal(Exception):
    """The status of a request of which nothing is stored."""


def model(sent: Sent) -> tuple[int, Destination | None, list[bytes]]:
    """What must become of a request: its status, and the events that are stored, and whose they are."""
    try:
        destination, path = _whose(sent)
        return 200, destination, _events(sent, path)
    except Refusal as refusal:
        return refusal.args[0], None, []


def _whose(sent: Sent) -> tuple[Destination, str]:
    """The destination of a request's events, and its path without the region."""
    path, region = _path(sent)
    if sent.method != "POST":
        raise Refusal(405)
    pairs = parse_qsl(sent.query, keep_blank_values=True)
    query = dict(reversed(pairs))  # of a name that comes twice the first counts
    key = _key(sent, query)
    if key not in ALLOWED.get(query.get("a", ""), []):
        raise Refusal(400)
    destination = Destination(
        account_id=query["a"], sdk_key=key, region=region,
        generation="legacy" if path == BATCHES[0] else "fme",
        query=tuple((name, query[name]) for name in SAID if name in query),
    )  # fmt: skip
    return destination, path


def _path(sent: Sent) -> tuple[str, str]:
    path = unquote(sent.path)
    for known in (*BATCHES, EVENT):
        region = path.removesuffix(known).removeprefix("/")
        if path == known or (path == f"/{region}{known}" and region in ("eu01",)):
            return known, region
    raise Refusal(404)


def _key(sent: Sent, query: dict[str, str]) -> str:
    in_query, in_header = query.get("env", ""), sent.header("authorization")
    if in_query and in_header and in_query != in_header:
        raise Refusal(400)
    return in_query or in_header


def _events(sent: Sent, path: str) -> list[bytes]:
    """The events of a body, each as its client wrote it."""
    body, coding = sent.body, sent.header("content-encoding").lower()
    if coding in ("gzip", "x-gzip"):
        body = _unzipped(body)
    elif coding not in ("", "identity"):
        raise Refusal(415)
    codec = _codec(body, sent.header("content-type"))
    if sent.items is None or body.decode(codec).strip() != _read(sent, sent.text, codec).strip():
        raise Refusal(400)  # it is no such body, or the beginning of one
    return [
        item.encode() for item in _good([_read(sent, item, codec) for item in sent.items], path)
    ]


def _read(sent: Sent, text: str, codec: str) -> str:
    """A part of a body as it is read."""
    return text.encode(sent.codec.removesuffix("-sig"), "replace").decode(codec)


def _good(items: list[str], path: str) -> list[str]:
    """The items that are events; one that even a lenient reader cannot read spoils the whole body."""
    lenient = json.JSONDecoder(strict=False)
    try:
        found = [lenient.decode(item) for item in items]
    except ValueError:
        raise Refusal(400) from None
    good = [item for item, value in zip(items, found, strict=True) if _is_event(item, value, path)]
    if items and not good:
        raise Refusal(400)
    return good


def _is_event(item: str, value: Any, path: str) -> bool:
    if not isinstance(value, dict) or item.count("[") > MOST_NESTING:
        return False
    try:
        json.loads(item, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return False
    return path == BATCHES[0] or isinstance(value.get("d"), dict)


def _unzipped(body: bytes) -> bytes:
    if body.startswith(BOMB):
        raise Refusal(413)
    try:
        unzipped = gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        raise Refusal(400) from None
    if not body:
        raise Refusal(400)
    return unzipped


def _codec(body: bytes, content_type: str) -> str:
    if "8859-1" in content_type:
        return "latin-1"
    try:
        body.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"
