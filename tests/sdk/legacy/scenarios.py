"""The calls behind each recorded legacy request, by name of the capture without its `legacy_`."""

from __future__ import annotations

from typing import Any

import msgspec
import vwo

VISITOR = {"user_agent": "Mozilla/5.0 (X11; Linux x86_64)", "user_ip_address": "203.0.113.7"}


class Integration:
    """Receives every decision and does nothing."""

    def callback(self, properties: Any) -> None:
        """Ignore the SDK's decision."""


class Storage(vwo.UserStorage):
    """Stores nothing."""

    def get(self, user_id: str, campaign_key: str) -> None:
        """Return nothing, since nothing is stored."""

    def set(self, user_data: dict[str, Any]) -> None:
        """Store nothing."""


class Scenario(msgspec.Struct, frozen=True):
    """Calls that an application makes.

    Attributes:
        calls: Method of the client, its arguments and its keywords, in order.
        changed: Additions to the recorded settings file.
        options: Further options of the launch.
    """

    calls: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...]
    changed: dict[str, Any] = {}
    options: dict[str, Any] = {}


_ACTIVATE = ("activate", ("ab_full", "user-1"), {})

SCENARIOS = {
    "activate": Scenario((_ACTIVATE,)),
    "activate_ua_ip": Scenario((("activate", ("ab_full", "user-1"), VISITOR),)),
    "collection_prefix_eu01": Scenario((_ACTIVATE,), changed={"collectionPrefix": "eu01"}),
    "is_feature_enabled": Scenario((("is_feature_enabled", ("feature_test", "user-1"), {}),)),
    "mixed": Scenario(
        (
            ("activate", ("ab_full", "user-1"), VISITOR),
            ("is_feature_enabled", ("feature_test", "user-2"), {}),
            ("track", ("ab_full", "user-1", "signup"), VISITOR),
            ("track", ("ab_full", "user-1", "purchase"), {"revenue_value": 10}),
            ("push", ("plan", "gold", "user-3"), {}),
        )
    ),
    "push": Scenario((("push", ("plan", "gold", "user-1"), {}),)),
    "push_unicode": Scenario((("push", ("ville", "Zürich", "usér-1"), {}),)),
    "track": Scenario((("track", ("ab_full", "user-1", "signup"), {}),)),
    "track_revenue": Scenario(
        (("track", ("ab_full", "user-1", "purchase"), {"revenue_value": 49.99}),)
    ),
    "usage_stats_all": Scenario(
        (_ACTIVATE,),
        options={
            "log_level": 40,
            "goal_type_to_track": "ALL",
            "integrations": Integration(),
            "user_storage": Storage(),
        },
    ),
}
