"""The calls behind each recorded FME request, by name of the capture without its `fme_`."""

from __future__ import annotations

from typing import Any

import msgspec

SHORT = {"id": "user-1"}
FULL = {
    "id": "user-1",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "ip_address": "203.0.113.7",
    "custom_variables": {"plan": "gold", "age": 30},
    "post_segmentation_variables": ["plan", "age"],
}


class Scenario(msgspec.Struct, frozen=True):
    """Calls that an application makes.

    Attributes:
        calls: Method of the client and its arguments, in order.
        settings: Additions to the recorded settings of VWO.
    """

    calls: tuple[tuple[Any, ...], ...] = ()
    settings: dict[str, Any] = {}


SCENARIOS = {
    "get_flag": Scenario((("get_flag", "checkout", SHORT),)),
    "get_flag_full_context": Scenario((("get_flag", "checkout", FULL),)),
    "track_event": Scenario((("track_event", "purchase", SHORT),)),
    "track_event_properties": Scenario(
        (("track_event", "purchase", FULL, {"price": 49.99, "sku": "A-1", "n": 3, "vip": True}),)
    ),
    "track_event_revenue": Scenario((("track_event", "revenueEvent", SHORT, {"amount": 12.5}),)),
    "set_attribute": Scenario((("set_attribute", "tier", "gold", SHORT),)),
    "set_attribute_map": Scenario(
        (("set_attribute", {"tier": "gold", "age": 30, "vip": True, "ratio": 0.5}, FULL),)
    ),
    "mixed": Scenario(
        (
            ("get_flag", "checkout", FULL),
            ("track_event", "purchase", SHORT, {"price": 1}),
            ("set_attribute", "tier", "gold", SHORT),
        )
    ),
    "collection_prefix_eu01": Scenario(
        (("track_event", "purchase", SHORT),), settings={"collectionPrefix": "eu01"}
    ),
    "sdk_init": Scenario(settings={"sdkMetaInfo": {}}),
    "usage_stats": Scenario(settings={"usageStatsAccountId": 777}),
}
