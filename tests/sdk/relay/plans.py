"""Steps that cover what an SDK can report, with the kinds of the events that must come of them."""

from __future__ import annotations

from typing import Any

import msgspec

#: Quotes, blanks, signs with a meaning in URLs, other scripts, and letters beyond the basic plane.
ODD = 'Grüße "x" & 50% + a=b½ \\ / ? 日本 🎉'
#: The SDKs put it raw into a header: with letters beyond Latin-1 those of Python, and FME's of Node,
#: send no event at all.
UA = 'Mozilla/5.0 (X11; Linux x86_64) "q" é'
SHORT = {"id": "user-1"}
FULL = {
    "id": f"user {ODD}",
    "ua": UA,
    "ip": "203.0.113.7",
    "variables": {"plan": ODD, "age": 30},
}
VISITOR = {"ua": UA, "ip": "203.0.113.7"}

_SHOWN, _ATTRIBUTE = "vwo_variationShown", "vwo_syncVisitorProp"


class Plan(msgspec.Struct, frozen=True):
    """Steps, and what must come of them.

    Attributes:
        steps: The steps.
        kinds: Kind of each event, sorted.
    """

    steps: list[list[Any]]
    kinds: list[str]


def everything(generation: str) -> Plan:
    """Every kind of event, with values of every kind."""
    return FME if generation == "fme" else LEGACY


def some(generation: str) -> Plan:
    """An event or two of each kind."""
    return FEW_FME if generation == "fme" else FEW_LEGACY


FEW_FME = Plan(
    [
        ["flag", "checkout", SHORT],
        ["event", "purchase", SHORT, {"sku": ODD}],
        ["attribute", "tier", ODD, SHORT],
    ],
    ["purchase", _ATTRIBUTE, _SHOWN, _SHOWN],
)

FEW_LEGACY = Plan(
    [
        ["activate", "ab_full", "user-1", VISITOR],
        ["goal", "ab_full", "user-1", "purchase", 49.99],
        ["tag", "plan", ODD, "user-1"],
    ],
    ["goal", "tags", "visit"],
)

FME = Plan(
    [
        ["flag", "checkout", SHORT],
        ["flag", "checkout", FULL],
        ["flag", "plain_off", SHORT],
        ["event", "purchase", SHORT, {}],
        [
            "event",
            "purchase",
            FULL,
            {"price": 49.99, "sku": ODD, "n": 3, "vip": True, "none": None},
        ],
        ["event", "revenueEvent", SHORT, {"amount": 12.5}],
        ["attribute", "tier", "gold", SHORT],
        ["attribute", ODD, ODD, FULL],
        ["attributes", {"tier": "gold", "age": 30, "vip": True, "ratio": 0.5, ODD: ODD}, FULL],
    ],
    sorted([_SHOWN] * 4 + ["purchase"] * 2 + ["revenueEvent"] + [_ATTRIBUTE] * 3),
)

LEGACY = Plan(
    [
        ["activate", "ab_full", "user-1"],
        ["activate", "ab_full", f"user {ODD}", VISITOR],
        ["feature", "feature_test", "user-1"],
        ["feature", "feature_rollout", "user-2", VISITOR],
        ["goal", "ab_full", "user-1", "signup"],
        ["goal", "ab_full", "user-1", "purchase", 49.99],
        ["goal", "ab_full", "user-2", "purchase", "12.50"],
        ["goal", ["ab_full", "feature_test"], "user-3", "signup"],
        ["tag", "plan", "gold", "user-1"],
        ["tag", ODD, ODD, "user-2"],
        ["tags", {"a": "1", "b": ODD}, "user-3"],
    ],
    sorted(["visit"] * 4 + ["goal"] * 5 + ["tags"] * 4),
)
