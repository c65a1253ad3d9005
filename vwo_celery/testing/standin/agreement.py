"""What events say of themselves, held against the request that brings them.

VWO takes account, key and SDK from the request line; events of the FME SDKs repeat them. Whoever
forwards events could mix them up, and VWO's answer would not show it. No I/O in here.

Source of the fields: requests recorded from the unmodified SDKs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vwo_celery.testing.standin.rules import Request, is_single

_SDK_NAMES = ("sn", "sd", "sdk")
_SDK_VERSIONS = ("sv", "sdk-v")


def disagreements(request: Request, regions: Mapping[str, str]) -> list[str]:
    """What the events of a request, and the account's region, say otherwise than its request line.

    Args:
        request: A request to a batch endpoint or to `events/t`.
        regions: Account id to region; an account that is not there may come to any.

    Returns:
        A sentence for each disagreement; values show, also keys: it is for tests.
    """
    account = request.query.get("a", "")
    found = [] if regions.get(account, request.region) == request.region else [
        f"account {account} is of region {regions[account]!r}, and came to {request.region!r}"
    ]  # fmt: skip
    for number, event in enumerate(_events(request), 1):
        for what, said, line in _named(event, request.query):
            if said is not None and line is not None and str(said) != line:
                found.append(f"event {number} says {what} {said!r}, and its request {line!r}")
    return found


def _events(request: Request) -> list[Any]:
    try:
        return [json.loads(request.body)] if is_single(request.path) else request.events
    except (ValueError, KeyError, TypeError):
        return []


def _named(event: Any, query: Mapping[str, str]) -> Iterator[tuple[str, Any, str | None]]:
    """What an event names, its value, and that of the request line; None for what is not named."""
    details = _object(event, "d")
    happening = _object(details, "event")
    props = _object(happening, "props")
    meta = _object(props, "vwoMeta")
    visitor = _object(_object(details, "visitor"), "props")
    account, key = query.get("a"), query.get("env")
    if key is not None and query.get("en") != "vwo_sdkUsageStats":  # which goes to one of VWO's own
        yield "account", meta.get("a"), account
    for said in (props.get("vwo_envKey"), meta.get("env"), visitor.get("vwo_fs_environment")):
        yield "key", said, key
    yield "SDK", props.get("vwo_sdkName"), _first(query, _SDK_NAMES)
    yield "SDK version", props.get("vwo_sdkVersion"), _first(query, _SDK_VERSIONS)
    if "en" in query:
        yield "name", happening.get("name"), query["en"]


def _object(parent: Any, name: str) -> dict[str, Any]:
    found = parent.get(name) if isinstance(parent, dict) else None
    return found if isinstance(found, dict) else {}


def _first(query: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((query[name] for name in names if name in query), None)
