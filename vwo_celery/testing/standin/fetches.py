"""What SDKs fetch: their settings from VWO, and facts about a visitor from VWO's gateway.

Pure functions from a request to an answer; no I/O in here. Sources: requests recorded from the
unmodified SDKs; the vendor's page "HTTP requests" (400 for a wrong key); the SDKs' code for what they
read of the gateway's answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from vwo_celery.testing.standin.rules import Answer, Request

#: Settings of an account: one document for every SDK, or a function of its request; None for none.
Settings = Mapping[str, Any] | Callable[[Request], Mapping[str, Any] | None] | None

_PREFIX: Final = r"(?:/[A-Za-z0-9_-]+)?/server-side/"
_SETTINGS: Final = re.compile(_PREFIX + "(v2-)?(settings|pull)")
_NOT_FOUND: Final = Answer.of(404, {"message": "Not found"})
_INVALID_KEY: Final = Answer.of(400, {"message": "Invalid api key"})
_GATEWAY: Final[Mapping[tuple[str, str], Any]] = {
    ("GET", "/get-user-details"): {
        "location": {"country": "India", "region": "Delhi", "city": "New Delhi"},
        "userAgent": {"device_type": "desktop", "browser_string": "Firefox", "os": "Linux"},
    },
    ("GET", "/check-attribute"): True,
    ("GET", "/getLocation"): {"country": "India", "region": "Delhi", "city": "New Delhi"},
    ("GET", "/getAliasUserId"): [],
    ("GET", "/user-alias/getAliasUserId"): [],
    ("GET", "/user-alias/setUserAlias"): {"isAliasSet": True},
    ("POST", "/user-alias/setUserAlias"): {"isAliasSet": True},
}


def is_settings(path: str) -> bool:
    """Whether *path* is where an SDK fetches its settings: at its start, or after a webhook."""
    return _SETTINGS.fullmatch(path) is not None


def is_gateway(method: str, path: str) -> bool:
    """Whether a request is one that VWO's gateway answers."""
    return (method, path) in _GATEWAY


def judge_settings(
    request: Request, accounts: Mapping[str, str] | None, legacy: Settings, fme: Settings
) -> Answer:
    """Decide VWO's answer to an SDK that asks for its settings.

    Args:
        request: A GET, its path one that `is_settings` knows.
        accounts: Account id to SDK key; None: any account and key.
        legacy: Settings for the legacy SDKs.
        fme: Settings for the FME SDKs, whose paths say v2.
    """
    path = _SETTINGS.fullmatch(request.path)
    given = fme if path is not None and path[1] else legacy
    settings = given(request) if callable(given) else given
    if settings is None:
        return _NOT_FOUND
    account, key = request.query.get("a", ""), request.query.get("i", "")
    known = account.isdecimal() if accounts is None else accounts.get(account) == key
    return Answer.of(200, settings) if known and key else _INVALID_KEY


def answer_gateway(request: Request) -> Answer:
    """The gateway's answer to a request that `is_gateway` knows; the same for each visitor."""
    return Answer.of(200, _GATEWAY[request.method, request.path])
