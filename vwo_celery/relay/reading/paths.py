"""Paths of VWO's collection protocol, each after an optional region.

A path is matched exactly, so that nothing else is answered as if VWO had taken it. Pure: nothing to
lose.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: A first segment before VWO's own path: the collection prefix of the account's settings.
_REGION: Final = re.compile(r"/([A-Za-z0-9_-]{1,16})(/.+)", re.DOTALL)

BATCH_LEGACY: Final = "/server-side/batch-events"
BATCH_FME: Final = "/server-side/batch-events-v2"
EVENT: Final = "/events/t"
TRACK_USER: Final = "/server-side/track-user"
TRACK_GOAL: Final = "/server-side/track-goal"
PUSH: Final = "/server-side/push"
SETTINGS_LEGACY: Final = "/server-side/settings"
PULL_LEGACY: Final = "/server-side/pull"
SETTINGS_FME: Final = "/server-side/v2-settings"
PULL_FME: Final = "/server-side/v2-pull"
USER_DETAILS: Final = "/get-user-details"
CHECK_ATTRIBUTE: Final = "/check-attribute"
LOCATION: Final = "/getLocation"
SET_ALIAS: Final = "/user-alias/setUserAlias"
GET_ALIAS: Final = "/user-alias/getAliasUserId"
GET_ALIAS_SHORT: Final = "/getAliasUserId"
HEALTHZ: Final = "/healthz"
READYZ: Final = "/readyz"

#: Where SDKs fetch their settings.
SETTINGS: Final = frozenset((SETTINGS_LEGACY, PULL_LEGACY, SETTINGS_FME, PULL_FME))
#: What FME SDKs ask VWO's gateway: about any visitor, and about those of an account.
GATEWAY_OPEN: Final = frozenset((USER_DETAILS, LOCATION))
GATEWAY_OF_ACCOUNTS: Final = frozenset((CHECK_ATTRIBUTE, SET_ALIAS, GET_ALIAS, GET_ALIAS_SHORT))
GATEWAY: Final = GATEWAY_OPEN | GATEWAY_OF_ACCOUNTS

#: The methods that each path takes.
METHODS: Final = {
    BATCH_LEGACY: "POST",
    BATCH_FME: "POST",
    EVENT: "POST",
    TRACK_USER: "GET",
    TRACK_GOAL: "GET",
    PUSH: "GET",
    **dict.fromkeys(SETTINGS | GATEWAY, "GET"),
    SET_ALIAS: "GET, POST",  # the SDKs POST it
    HEALTHZ: "GET",
    READYZ: "GET",
}
#: The relay's own paths, which have no region.
OWN: Final = frozenset((HEALTHZ, READYZ))


class KnownPath(NamedTuple):
    """A path that the relay knows, and the region before it, "" for none."""

    path: str
    region: str


def find(path: str) -> KnownPath | None:
    """The path that is meant, and its region; None if the relay does not know it."""
    if path in METHODS:
        return KnownPath(path, "")
    match = _REGION.fullmatch(path)
    if match is None or match[2] not in METHODS or match[2] in OWN:
        return None
    return KnownPath(match[2], match[1])
