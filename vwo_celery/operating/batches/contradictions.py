"""Contradictions between an event's own bytes and the destination that it is to be sent to.

Beside an event's way; asked before a batch changes its queue. Legacy events name neither account nor
key: VWO takes both from the request. Single requests name the account beside their bytes, and get the
destination's key where theirs was. FME events name the SDK key, and some the account, and no byte of
an event is ever changed. Pure: nothing to lose.

Source of the fields: requests of vwo-fme-python-sdk 1.65.0 (network_util.py); the SDKs of other
languages write the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from vwo_celery.destinations import Destination
from vwo_celery.errors import EventError
from vwo_celery.events import unwrap
from vwo_celery.text.masking import mask
from vwo_celery.text.wording import shown


class _Props(msgspec.Struct):
    key: Any = msgspec.field(default=UNSET, name="vwo_envKey")
    environment: Any = msgspec.field(default=UNSET, name="vwo_fs_environment")
    meta: Any = msgspec.field(default=UNSET, name="vwoMeta")


class _Happening(msgspec.Struct):
    props: _Props = msgspec.field(default_factory=_Props)


class _Visitor(msgspec.Struct):
    props: _Props = msgspec.field(default_factory=_Props)


class _Details(msgspec.Struct):
    event: _Happening = msgspec.field(default_factory=_Happening)
    visitor: _Visitor = msgspec.field(default_factory=_Visitor)


class _Event(msgspec.Struct):
    d: _Details


_decoder = msgspec.json.Decoder(_Event)


def contradiction(events: Sequence[bytes], target: Destination, *, replaced_key: str = "") -> str:
    """What these events say that their new destination does not; "" if they agree with it.

    Args:
        events: Encoded events of the destination's generation.
        target: The destination that they are to be sent to.
        replaced_key: A key that the destination's replaces in the same environment, which events
            may name as well; "" for none.
    """
    if target.generation == "legacy":
        return ""
    if target.is_single:
        events, found = _requests(events, target)
        if found:
            return found
    keys = {target.sdk_key, replaced_key} - {""}
    account = str(target.account_id)
    for number, event in enumerate(events, 1):
        named_keys, accounts = _named(event)
        for key in named_keys:
            if key not in keys:
                return (
                    f"event {number} of {len(events)} carries the SDK key {mask(key)} in its bytes"
                )
        for named in accounts:
            if named != account:
                return f"event {number} of {len(events)} carries the account {shown(named)} in its bytes"
    return ""


def _requests(events: Sequence[bytes], target: Destination) -> tuple[list[bytes], str]:
    """The bodies of single requests, or what one of them says that its destination does not."""
    bodies = []
    for number, event in enumerate(events, 1):
        try:
            found = unwrap(event, account_id=target.account_id, sdk_key=target.sdk_key)
        except EventError as exc:
            return [], f"event {number} of {len(events)}: {exc}"
        bodies.append(found.body)
    return bodies, ""


def _named(event: bytes) -> tuple[list[str], list[str]]:
    """The SDK keys and the accounts that an event names."""
    try:
        details = _decoder.decode(event).d
    except msgspec.MsgspecError:
        return [], []  # another program's; a worker decides whether it can be sent
    props, visitor = details.event.props, details.visitor.props
    meta = props.meta if isinstance(props.meta, dict) else {}
    keys = (props.key, props.environment, meta.get("env"), visitor.environment)
    account = meta.get("a")
    return (
        [key for key in keys if isinstance(key, str) and key],
        [str(account)] if isinstance(account, str | int) and account != "" else [],
    )
