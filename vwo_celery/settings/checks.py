"""Checks of settings: each value against the range written at its field, and what people read of it.

Beside `settings`, which has the fields. Pure: nothing to lose.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from vwo_celery.errors import SettingsError
from vwo_celery.settings.folders import expanded
from vwo_celery.settings.redis_url import RedisUrl
from vwo_celery.settings.relay_batches import as_text, read_relay_batches
from vwo_celery.settings.sources import Given
from vwo_celery.text.masking import mask_url, scheme_only
from vwo_celery.text.wording import shown

if TYPE_CHECKING:
    from vwo_celery.settings.settings import Settings

_URLS = ("redis_url", "broker_url")
#: The setting that holds SDK keys.
_KEYS = "relay_accounts"
#: The setting that holds batch options by account.
_BATCHES = "relay_batch_event_data"


def without_secrets(name: str, value: Any) -> Any:
    """A setting's value for people: no password and no key is in it."""
    if name == _KEYS:
        return tuple(f"{entry.partition('=')[0]}=…" for entry in value)
    return mask_url(value) if name in _URLS else value


class Description(NamedTuple):
    """A setting as people read it.

    Attributes:
        unit: Of a number; "" for anything else.
        range: The values that are allowed.
        expected: Unit and range as the end of "must be …".
        meaning: One sentence or two.
    """

    unit: str
    range: str
    expected: str
    meaning: str


def describe(name: str) -> Description:
    """Return unit, range and meaning of a setting, as written at its field."""
    kind, meta = get_args(_types()[name])[:2]
    if meta.ge is None:
        wanted = meta.extra["range"]
        return Description("", wanted, wanted, meta.description)
    unit, limits = meta.extra["unit"], f"{meta.ge:,} to {meta.le:,}"
    number = "a whole number" if kind is int else "a number"
    return Description(unit, limits, f"{number} of {unit} from {limits}", meta.description)


@functools.cache
def _types() -> dict[str, Any]:
    from vwo_celery.settings.settings import Settings  # which needs this module

    return get_type_hints(Settings, include_extras=True)


def check(name: str, given: Given) -> Any:
    """Return the value of a setting in its final form.

    Raises:
        SettingsError: The value has the wrong type or is out of range; see `Settings.load`.
    """
    try:
        checked = msgspec.convert(_plain(name, given), _types()[name], strict=not given.text)
    except Exception:
        is_url = isinstance(given.value, str) and (name in _URLS or "://" in given.value)
        text = scheme_only(given.value) if is_url else shown(given.value)
        text = "something else" if name == _KEYS else text
        raise SettingsError(
            f"{name} must be {describe(name).expected}; {text} was given ({given.origin})"
        ) from None
    if name == "redis_url" and (problem := RedisUrl.parse(checked).problem()):
        raise SettingsError(
            f"redis_url cannot be used; {scheme_only(checked)} was given ({given.origin}), {problem}"
        )
    if name == _BATCHES:
        read_relay_batches(checked, given.origin)
    if name == "allowed_hosts":
        return tuple(host.lower() for host in checked)
    return _folder(checked, given) if name == "spool_dir" else checked


def _folder(folder: str, given: Given) -> str:
    if folder and not expanded(folder):
        raise SettingsError(
            f"spool_dir must be {describe('spool_dir').expected}; {shown(folder)} was given "
            f"({given.origin}), and this process knows no such home: write the whole path"
        )
    return expanded(folder)


def _plain(name: str, given: Given) -> Any:
    if given.text and get_origin(get_args(_types()[name])[0]) is tuple:
        return [part.strip() for part in given.value.split(",") if part.strip()]
    if name == _BATCHES:
        return as_text(given.value)
    return os.fspath(given.value) if isinstance(given.value, os.PathLike) else given.value


def check_order(settings: Settings) -> None:
    """Raise a SettingsError if two settings contradict each other."""
    lease, request = settings.lease_seconds, settings.request_timeout_seconds
    if lease <= request:
        raise SettingsError(
            "lease_seconds must exceed request_timeout_seconds, or a batch could be taken over "
            f"while it is being sent; {lease:g} and {request:g} were given"
        )
    longest, base = settings.backoff_max_seconds, settings.backoff_base_seconds
    if longest < base:
        raise SettingsError(
            "backoff_max_seconds must not be under backoff_base_seconds; "
            f"{longest:g} and {base:g} were given"
        )
