"""The typed events: exactly the JSON that was recorded from VWO's SDKs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vwo_celery.destinations import Destination
from vwo_celery.event_kinds import (
    AttributesSet,
    ConversionEvent,
    CustomDimensionEvent,
    CustomEvent,
    FlagUsage,
    SdkStarted,
    SdkUsage,
    VariationShown,
    Visitor,
    VisitorEvent,
    attributes_set,
    custom_event,
    dimension_tags,
    variation_shown,
    visitor_id,
)
from vwo_celery.events import encode

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
RECORDED = [
    pytest.param(event, id=f"{path.stem}-{index}")
    for path in sorted(CAPTURES.glob("*_*.json"))
    if not path.name.startswith("settings_")
    for index, event in enumerate(json.loads(path.read_text())["body_json"]["ev"])
]
LEGACY_KINDS: dict[int, Any] = {1: VisitorEvent, 2: ConversionEvent, 3: CustomDimensionEvent}
FME_KINDS: dict[str, Any] = {
    "vwo_variationShown": VariationShown,
    "vwo_syncVisitorProp": AttributesSet,
    "vwo_fmeSdkInit": SdkStarted,
    "vwo_sdkUsageStats": SdkUsage,
    "vwo_feTrackUsage": FlagUsage,
}
DESTINATION = Destination(account_id=888888, sdk_key="b" * 32, generation="fme")
USER = "user-1"


def recorded(capture: str, index: int = 0) -> dict[str, Any]:
    """An event as an SDK sent it."""
    event: dict[str, Any] = json.loads((CAPTURES / f"{capture}.json").read_text())["body_json"][
        "ev"
    ][index]
    return event


def kind_of(event: dict[str, Any]) -> Any:
    """The type of an event on the wire."""
    if "d" in event:
        return FME_KINDS.get(event["d"]["event"]["name"], CustomEvent)
    return LEGACY_KINDS[event["eT"]]


@pytest.mark.parametrize("event", RECORDED)
def test_recorded_events_pass_through_their_type(event: dict[str, Any]) -> None:
    """An SDK's event stays the same when read into its type and written again, key order included."""
    typed = msgspec.convert(event, kind_of(event))

    assert json.dumps(json.loads(encode(typed))) == json.dumps(event)


def test_kinds_that_were_not_recorded() -> None:
    """A holdout's variation is a number and has a feature; a flag's usage has only the basic fields."""
    details = recorded("fme_track_event")["d"]
    basics = {key: details["event"]["props"][key] for key in (
        "vwo_sdkName", "vwo_sdkVersion", "vwo_envKey",
    )}  # fmt: skip
    holdout = {**basics, "id": 9, "variation": 2, "isFirst": 1, "fId": 5}
    for name, props in (("vwo_variationShown", holdout), ("vwo_feTrackUsage", basics)):
        event = {"d": {**details, "event": {"props": props, "name": name, "time": 1}}}

        typed = msgspec.convert(event, kind_of(event))

        assert json.dumps(json.loads(encode(typed))) == json.dumps(event)


@pytest.mark.parametrize(
    ("account_id", "user_id", "expected"),
    [
        (888888, USER, "2584169C931C5DA0A74682A964784297"),
        ("888888", "user-2", "738951691AF65CD29DDCAD5EFF54568E"),
        (888888, f"888888_{'b' * 32}", "07F39C9BA40855DABB9D6B071B36F758"),
    ],
)
def test_the_visitor_id_is_that_of_the_sdks(
    account_id: int | str, user_id: str, expected: str
) -> None:
    """Every program computes the same id for a user."""
    assert visitor_id(account_id, user_id) == expected


@pytest.mark.parametrize(
    ("capture", "make"),
    [
        ("legacy_activate", lambda who: VisitorEvent(**who, variation_id=2, campaign_id=101)),
        (
            "legacy_track_revenue",
            lambda who: ConversionEvent(
                **who, variation_id=2, campaign_id=101, goal_id=202, revenue=49.99
            ),
        ),
        (
            "legacy_track",
            lambda who: ConversionEvent(**who, variation_id=2, campaign_id=101, goal_id=201),
        ),
        (
            "legacy_push_unicode",
            lambda who: CustomDimensionEvent(**who, tags=dimension_tags("ville", "Zürich")),
        ),
    ],
)
def test_legacy_events_can_be_made_without_an_sdk(capture: str, make: Any) -> None:
    """A legacy event needs only the fields that differ from event to event."""
    wanted = recorded(capture)

    event = make({"visitor_id": wanted["u"], "session_id": wanted["sId"]})

    assert json.dumps(json.loads(encode(event))) == json.dumps(wanted)


def at(event: dict[str, Any]) -> int:
    """The time of a recorded FME event in Unix ms."""
    time_ms: int = event["d"]["event"]["time"]
    return time_ms


FULL = Visitor(user_id=USER, user_agent="Mozilla/5.0 (X11; Linux x86_64)", ip_address="203.0.113.7")


@pytest.mark.parametrize(
    ("capture", "make"),
    [
        (
            "fme_track_event",
            lambda ms: custom_event(DESTINATION, Visitor(user_id=USER), "purchase", time_ms=ms),
        ),
        (
            "fme_track_event_properties",
            lambda ms: custom_event(
                DESTINATION,
                FULL,
                "purchase",
                {"price": 49.99, "sku": "A-1", "n": 3, "vip": True},
                time_ms=ms,
            ),
        ),
        (
            "fme_set_attribute_map",
            lambda ms: attributes_set(
                DESTINATION,
                FULL,
                {"tier": "gold", "age": 30, "vip": True, "ratio": 0.5},
                time_ms=ms,
            ),
        ),
        (
            "fme_get_flag_full_context",
            lambda ms: variation_shown(
                DESTINATION,
                FULL,
                campaign_id=1,
                variation_id=1,
                attributes={"plan": "gold", "age": 30},
                time_ms=ms,
            ),
        ),
    ],
)
def test_fme_events_can_be_made_without_an_sdk(capture: str, make: Any) -> None:
    """FME events equal the SDK's, except for the SDK's own statistics."""
    wanted = recorded(capture)
    wanted["d"]["event"]["props"].pop("vwoMeta", None)

    event = make(at(wanted))

    assert json.dumps(json.loads(encode(event))) == json.dumps(wanted)


def test_a_session_of_ones_own_replaces_the_time() -> None:
    """A session id given by the application replaces the time, as in the SDK's context; 0 counts."""
    for session_id in (0, 77):
        visitor = Visitor(user_id=USER, session_id=session_id)

        event = custom_event(DESTINATION, visitor, "purchase", time_ms=5_000)

        assert event.details.session_id == session_id
        assert event.details.event.time_ms == 5_000


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_a_dimension_is_json_or_an_error(value: object) -> None:
    """A dimension that is no JSON is an error: no later check would notice it inside its JSON text."""
    with pytest.raises((TypeError, ValueError)):
        dimension_tags("plan", value)
