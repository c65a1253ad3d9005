"""Types of the events that VWO's SDKs put into batches: fields, wire names and order.

Before stage 1; pure: nothing to lose. An attached SDK makes its own dicts and needs none of this; a
program without an SDK makes these types, and a reader of dead letters or callbacks can convert to
them. A field left unset is left out of the JSON.

Source of names and order: requests recorded from vwo-python-sdk 1.68.2 ("legacy") and
vwo-fme-python-sdk 1.65.0 ("FME"), and those packages' event_dispatcher.py and network_util.py.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, field

from vwo_celery.destinations import NEWEST_SDK, Destination

_VWO_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://vwo.com")


def visitor_id(account_id: int | str, user_id: str) -> str:
    """Compute the id by which VWO knows a user of an account, as all of VWO's SDKs do.

    Args:
        account_id: VWO account.
        user_id: The application's own id of the user.

    Returns:
        32 upper-case hexadecimal digits: a UUID (version 5) of the user, whose namespace is a UUID
        of the account, whose namespace is VWO's (the SDKs' uuid_util.py).
    """
    account = uuid.uuid5(_VWO_NAMESPACE, str(account_id))
    return uuid.uuid5(account, str(user_id)).hex.upper()


class LegacyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Fields that every legacy event begins with.

    Args:
        visitor_id: See the function of that name.
        session_id: Time of the event, in seconds since 1970.
        visitor_ua: The visitor's user agent; the SDK sends "" where it has none.
        visitor_ip: The visitor's address; the SDK sends "" where it has none.
    """

    visitor_id: str = field(name="u")
    session_id: int = field(name="sId")
    visitor_ua: str = ""
    visitor_ip: str = ""


class VisitorEvent(LegacyEvent, frozen=True, kw_only=True):
    """A visitor was shown a variation (activate, is_feature_enabled)."""

    variation_id: int = field(name="c")
    campaign_id: int = field(name="e")
    event_type: Literal[1] = field(default=1, name="eT")


class ConversionEvent(LegacyEvent, frozen=True, kw_only=True):
    """A visitor reached a goal (track); *revenue* is sent as given, a number or its text."""

    variation_id: int = field(name="c")
    campaign_id: int = field(name="e")
    goal_id: int = field(name="g")
    event_type: Literal[2] = field(default=2, name="eT")
    revenue: int | float | str | UnsetType = field(default=UNSET, name="r")


class CustomDimensionEvent(LegacyEvent, frozen=True, kw_only=True):
    """A visitor has a custom dimension (push); *tags* is the result of `dimension_tags`."""

    tags: str = field(name="t")
    event_type: Literal[3] = field(default=3, name="eT")


def dimension_tags(key: str, value: object) -> str:
    """Encode one custom dimension as the SDK does: JSON text inside the event."""
    return json.dumps({"u": {key: value}}, allow_nan=False)


Props = TypeVar("Props")


class Happening(msgspec.Struct, Generic[Props], frozen=True, kw_only=True):
    """A happening: its name, its properties, and its time in milliseconds since 1970."""

    props: Props
    name: str
    time_ms: int = field(name="time")


class VisitorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Known properties of the visitor; "vwo_fs_environment" is the SDK key."""

    props: dict[str, Any]


class Details(msgspec.Struct, Generic[Props], frozen=True, kw_only=True):
    """Fields of every FME event.

    Args:
        message_id: Visitor id and milliseconds. Not unique: events of one call share it.
        visitor_id: See the function of that name.
        session_id: The visitor's session; the SDK's default is the time in seconds since 1970.
    """

    message_id: str = field(name="msgId")
    visitor_id: str = field(name="visId")
    session_id: int = field(name="sessionId")
    event: Happening[Props]
    visitor_ua: str | UnsetType = UNSET
    visitor_ip: str | UnsetType = UNSET
    visitor: VisitorRecord | UnsetType = UNSET


class FmeEvent(msgspec.Struct, Generic[Props], frozen=True, kw_only=True):
    """An FME event with properties of one kind; each kind has a name below."""

    details: Details[Props] = field(name="d")


class SdkProps(msgspec.Struct, frozen=True, kw_only=True):
    """The SDK that saw the event."""

    sdk_name: str = field(name="vwo_sdkName")
    sdk_version: str = field(name="vwo_sdkVersion")


class EnvironmentProps(SdkProps, frozen=True, kw_only=True):
    """The SDK that saw the event, and the environment's SDK key."""

    sdk_key: str = field(name="vwo_envKey")


class VariationShownProps(EnvironmentProps, frozen=True, kw_only=True):
    """Properties of `VariationShown`; the variation is text, but a number for a holdout."""

    campaign_id: int = field(name="id")
    variation: str | int
    is_first: int = field(default=1, name="isFirst")
    usage: dict[str, Any] | UnsetType = field(default=UNSET, name="vwoMeta")
    feature_id: int | UnsetType = field(default=UNSET, name="fId")


class AttributesSetProps(EnvironmentProps, frozen=True, kw_only=True):
    """Properties of `AttributesSet`."""

    is_custom_event: bool = field(default=True, name="isCustomEvent")
    environment: str = field(name="vwo_fs_environment")


class SdkStartedProps(EnvironmentProps, frozen=True, kw_only=True):
    """Properties of `SdkStarted`."""

    environment: str = field(name="vwo_fs_environment")
    product: str = "fme"
    data: dict[str, Any]


class SdkUsageProps(SdkProps, frozen=True, kw_only=True):
    """Properties of `SdkUsage`; *data* holds the options of the SDK's init, its key included."""

    product: str = "fme"
    usage: dict[str, Any] = field(name="vwoMeta")
    data: dict[str, Any]


#: vwo_variationShown: get_flag decided on a variation, a rollout or a holdout.
VariationShown = FmeEvent[VariationShownProps]
#: track_event: any name, any properties after the SDK's own.
CustomEvent = FmeEvent[dict[str, Any]]
#: vwo_syncVisitorProp: set_attribute.
AttributesSet = FmeEvent[AttributesSetProps]
#: vwo_fmeSdkInit: the first start of an environment's SDK ever.
SdkStarted = FmeEvent[SdkStartedProps]
#: vwo_sdkUsageStats: how an SDK was started; without "visitor".
SdkUsage = FmeEvent[SdkUsageProps]
#: vwo_feTrackUsage: get_flag answered without a vwo_variationShown.
FlagUsage = FmeEvent[EnvironmentProps]


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """The visitor of an FME event, for the functions below.

    Args:
        user_id: The application's own id of the user.
        user_agent: The visitor's user agent, if known.
        ip_address: The visitor's address, if known.
        session_id: The visitor's session; by default the seconds of the event's time.
    """

    user_id: str
    user_agent: str | UnsetType = UNSET
    ip_address: str | UnsetType = UNSET
    session_id: int | None = None


def variation_shown(
    destination: Destination,
    visitor: Visitor,
    *,
    campaign_id: int,
    variation_id: int,
    time_ms: int,
    attributes: Mapping[str, Any] | None = None,
) -> VariationShown:
    """Make the event of a visitor who was shown a variation, as get_flag does.

    Args:
        destination: Where it will be enqueued; its account, key and SDK name are in the event.
        visitor: The visitor who was shown it.
        campaign_id: Campaign of the rule that chose the variation.
        variation_id: Variation that was shown.
        time_ms: Time of the event, in milliseconds since 1970.
        attributes: Known properties of the visitor, for segments in reports.
    """
    props = VariationShownProps(
        **_environment(destination), campaign_id=campaign_id, variation=str(variation_id)
    )
    known = dict(attributes or {})
    if visitor.ip_address:
        known["ip"] = visitor.ip_address
    return _event(
        destination, visitor, "vwo_variationShown", props, attributes=known, time_ms=time_ms
    )


def custom_event(
    destination: Destination,
    visitor: Visitor,
    name: str,
    properties: Mapping[str, Any] | None = None,
    *,
    time_ms: int,
) -> CustomEvent:
    """Make the event of a conversion, or of anything else to count, as track_event does.

    Args:
        destination: Where it will be enqueued; its account, key and SDK name are in the event.
        visitor: The visitor who did it.
        name: Identifier of the event in VWO's metrics.
        properties: Properties that the metric reads, such as a price.
        time_ms: Time of the event, in milliseconds since 1970.
    """
    sdk = msgspec.to_builtins(EnvironmentProps(**_environment(destination)))
    # The SDK sends 1 for both, as placeholders.
    props = {**sdk, "isCustomEvent": True, "variation": 1, "id": 1, **(properties or {})}
    return _event(destination, visitor, name, props, attributes={}, time_ms=time_ms)


def attributes_set(
    destination: Destination, visitor: Visitor, attributes: Mapping[str, Any], *, time_ms: int
) -> AttributesSet:
    """Make the event that sends attributes of a visitor to VWO, as set_attribute does.

    Args:
        destination: Where it will be enqueued; its account, key and SDK name are in the event.
        visitor: The visitor with these attributes.
        attributes: Names and values, any number of them.
        time_ms: Time of the event, in milliseconds since 1970.
    """
    props = AttributesSetProps(**_environment(destination), environment=destination.sdk_key)
    return _event(
        destination, visitor, "vwo_syncVisitorProp", props, attributes=attributes, time_ms=time_ms
    )


def _environment(destination: Destination) -> dict[str, Any]:
    newest_name, newest_version = NEWEST_SDK["fme"]
    name, version = destination.sdk
    name, version = name or newest_name, version or newest_version
    return {"sdk_name": name, "sdk_version": version, "sdk_key": destination.sdk_key}


def _event(
    destination: Destination,
    visitor: Visitor,
    name: str,
    props: Props,
    *,
    attributes: Mapping[str, Any],
    time_ms: int,
) -> FmeEvent[Props]:
    who = visitor_id(destination.account_id, visitor.user_id)
    session_id = time_ms // 1000 if visitor.session_id is None else visitor.session_id
    details = Details(
        message_id=f"{who}-{time_ms}",
        visitor_id=who,
        session_id=session_id,
        event=Happening(props=props, name=name, time_ms=time_ms),
        visitor_ua=visitor.user_agent,
        visitor_ip=visitor.ip_address,
        visitor=VisitorRecord(props={"vwo_fs_environment": destination.sdk_key, **attributes}),
    )
    return FmeEvent(details=details)
