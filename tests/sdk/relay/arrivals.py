"""What arrived at a stand-in, reduced to what must be the same by both ways.

An item is kept as its bytes; only the digits of moments and of ports are replaced, which differ from
run to run. So the order of keys, blanks, escapes and the spelling of numbers count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from sdk.relay.house import Account
from vwo_celery.testing import Request, Standin

#: Events in which an SDK tells of itself; they are forwarded, best effort, or dropped.
DIAGNOSTICS = ("vwo_sdkDebug", "vwo_log", "vwo_sdkUsageStats")

_MOMENTS = re.compile(
    rb'("(?:sId|sessionId|time|lv|sdkInitTime|settingsFetchTime)":\s?)\d+|(-)\d{13}(?=")'
)
_OWN_PORT = re.compile(rb"(127\.0\.0\.1)(:\d+)?|(\"port\":\s?)\d+")
#: Names by which a query says which SDK it is of.
_SDK_NAMES = ("sn", "sv", "sdk", "sdk-v", "sd")


class _Batch(msgspec.Struct):
    ev: list[msgspec.Raw]


class Arrival(msgspec.Struct, frozen=True, order=True):
    """One event that arrived.

    Attributes:
        item: Its bytes as an item of a batch, moments and ports replaced.
        region: Collection prefix that it came to.
        key: `Authorization` of its request, "" for none.
        sdk: What the query says of the SDK: pairs, sorted.
    """

    item: bytes
    region: str
    key: str
    sdk: tuple[tuple[str, str], ...]


def arrivals(standin: Standin, account: Account) -> list[Arrival]:
    """Events of an account that were taken, without the diagnostics, sorted."""
    found = [
        Arrival(still(item), request.region, request.header("Authorization") or "", _sdk(request))
        for request in _taken(standin, account)
        for item in _items(request)
    ]
    return sorted(each for each in found if kind(each.item) not in DIAGNOSTICS)


def count(standin: Standin, account: Account) -> int:
    """Number of an account's events that were taken, diagnostics included."""
    return sum(len(_items(request)) for request in _taken(standin, account))


def kind(item: bytes) -> str:
    """Name of an FME event, or "visit", "goal" or "tags"."""
    event = json.loads(item)
    if "d" in event:
        return str(event["d"]["event"]["name"])
    return {1: "visit", 2: "goal", 3: "tags"}[event["eT"]]


def kinds(standin: Standin, account: Account) -> list[str]:
    """Kinds of the events of an account that were taken, without the diagnostics, sorted."""
    return sorted(kind(each.item) for each in arrivals(standin, account))


def reports(standin: Standin, account: Account, usage: int) -> list[tuple[bytes, str]]:
    """All events of an account that were taken, with the account that each was sent to, sorted.

    Args:
        standin: The stand-in.
        account: The account.
        usage: Account that SDKs report their usage to; only what names *account* counts.
    """
    own = [
        (still(item), str(account.number))
        for request in _taken(standin, account)
        for item in _items(request)
    ]
    elsewhere = [
        (still(request.body), str(usage))
        for request in standin.singles
        if request.query.get("a") == str(usage) and request.status == 200
        and account.key.encode() in request.body
    ]  # fmt: skip
    return sorted([*own, *elsewhere])


def batch_queries(standin: Standin, account: Account) -> set[tuple[tuple[str, str], ...]]:
    """The queries of an account's batches with events, each as sorted pairs."""
    taken = (each for each in _taken(standin, account) if "batch-events" in each.path)
    return {tuple(sorted(each.query.items())) for each in taken if _items(each)}


def still(item: bytes) -> bytes:
    """An item with the digits of moments and ports replaced."""
    item = _MOMENTS.sub(lambda found: (found[1] or found[2]) + b"0", item)
    return _OWN_PORT.sub(lambda found: found[1] or found[3] + b"0", item)


def statuses(standin: Standin, account: Account) -> set[int]:
    """What the requests with events of an account were answered."""
    return {request.status for request in _requests(standin, account)}


def _requests(standin: Standin, account: Account) -> Iterator[Request]:
    for request in (*standin.batches, *standin.singles, *standin.event_gets):
        query = request.query
        if query.get("a", query.get("account_id")) == str(account.number):
            yield request


def _taken(standin: Standin, account: Account) -> list[Request]:
    return [each for each in _requests(standin, account) if each.status == 200]


def _items(request: Request) -> list[bytes]:
    if request.method == "GET":
        return [_of_get(request)]
    if "batch-events" in request.path:
        return list(map(bytes, msgspec.json.decode(request.body, type=_Batch).ev))
    return [request.body]


def _sdk(request: Request) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(pair for pair in request.query.items() if pair[0] in _SDK_NAMES))


def _of_get(request: Request) -> bytes:
    """The item of a batch that a GET of a legacy SDK stands for, as the Python SDK writes it."""
    query = {name: values[0] for name, values in _parsed(request).items()}
    item: dict[str, Any] = {"u": query["u"], "sId": int(query["sId"])}
    path = request.path.rpartition("/")[2]
    if path == "push":
        item |= {"t": _tags(request), "eT": 3}
        return json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode()
    item |= {"visitor_ua": query["visitor_ua"], "visitor_ip": query["visitor_ip"]}
    item |= {"c": int(query["combination"]), "e": int(query["experiment_id"])}
    if path == "track-goal":
        item |= {"g": int(query["goal_id"]), "eT": 2}
        item |= {"r": query["r"]} if "r" in query else {}
    else:
        item["eT"] = 1
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode()


def _parsed(request: Request) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.target).query, keep_blank_values=True)


def _tags(request: Request) -> str:
    """The tags as JSON text; Node encodes only the texts in it."""
    raw = dict(part.partition("=")[::2] for part in urlsplit(request.target).query.split("&"))[
        "tags"
    ]
    if not raw.startswith("{"):
        return _parsed(request)["tags"][0]
    tags = json.loads(raw)["u"]
    return json.dumps({"u": {unquote(name): unquote(value) for name, value in tags.items()}})
