"""A request reduced to the parts that must equal the SDK's own: everything but the volatile fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vwo_celery.testing import Request

#: Volatile fields, each by its path from the event's top; only their types are compared.
_VOLATILE = (
    ("sId",),
    ("d", "sessionId"),
    ("d", "event", "time"),
    ("d", "event", "props", "vwoMeta", "lv"),
    ("d", "event", "props", "data", "settingsFetchTime"),
    ("d", "event", "props", "data", "sdkInitTime"),
    # The recording server's own port.
    ("d", "event", "props", "data", "initConfig", "proxy_url"),
)
_COMPARED_HEADERS = {"legacy": ("Authorization", "Content-Type", "User-Agent")}
_FME_HEADERS = ("Authorization", "Content-Type")


def of_request(request: Request, generation: str) -> dict[str, Any]:
    """The comparable parts of a request that reached the stand-in."""
    return _comparable(
        request.method, request.target, dict(request.headers), json.loads(request.body), generation
    )


def of_capture(capture: Mapping[str, Any]) -> dict[str, Any]:
    """The comparable parts of a recorded request."""
    return _comparable(
        capture["method"], capture["target"], dict(capture["headers"]),
        json.loads(capture["body_text"]), capture["generation"],
    )  # fmt: skip


def _comparable(
    method: str, target: str, headers: Mapping[str, str], body: dict[str, Any], generation: str
) -> dict[str, Any]:
    # The target is the raw text of the request line: path and query, in order and as encoded.
    return {
        "method": method,
        "target": target,
        "headers": {name: headers.get(name) for name in _COMPARED_HEADERS.get(generation, _FME_HEADERS)},
        "body keys": list(body),
        # Compared as text, since the order of an event's keys counts.
        "events": [json.dumps(_still(event)) for event in body["ev"]],
    }  # fmt: skip


def _still(event: dict[str, Any]) -> dict[str, Any]:
    """The event with each volatile field's value replaced by its type."""
    for *parents, field in _VOLATILE:
        holder: Any = event
        for parent in parents:
            holder = holder.get(parent, {})
        if field in holder:
            holder[field] = type(holder[field]).__name__
    if "d" in event:
        visitor, _, milliseconds = event["d"]["msgId"].rpartition("-")
        event["d"]["msgId"] = f"{visitor}-{type(int(milliseconds)).__name__}"
    return event
