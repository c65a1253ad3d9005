"""Events as the console shows them: without the SDK key, and without what its operator wants unseen.

Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from vwo_celery.operating.batches.showing import decoded, masked

_MASK: Final = "…"
_NO_JSON: Final = "(not shown: it is no JSON, and console_mask is set)"


def shown_event(event: bytes, sdk_key: str, mask: Collection[str] = ()) -> Any:
    """An event, decoded.

    Args:
        event: The event, encoded.
        sdk_key: Its destination's key, which is masked wherever it stands.
        mask: Keys of objects, at any depth, whose values are masked.
    """
    value = decoded(masked(event, sdk_key))
    if not mask:
        return value
    return _NO_JSON if isinstance(value, str) else _without(value, mask)


def _without(value: Any, mask: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {
            name: _MASK if name in mask else _without(each, mask) for name, each in value.items()
        }
    return [_without(each, mask) for each in value] if isinstance(value, list) else value
