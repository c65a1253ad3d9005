"""Batch options of relayed events by account, as they are written in settings and files of accounts.

No I/O; nothing to lose. What is wrong is an error here, never a default: a relay is set up by operators,
and a slip would hold events back for ten minutes unseen. A `flush_callback` is refused: the functions
of the applications that send are in other programs, mostly in other languages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from vwo_celery.errors import SettingsError
from vwo_celery.settings.batch_event_data import SPELLINGS, BatchSettings, parse_batch_event_data
from vwo_celery.text.wording import nearest, shown

#: Names under which the SDKs take their batch options.
OUTER_SPELLINGS: Final = (
    "batch_event_data", "batchEventData", "BatchEventData", "batch_data", "batchData", "BatchData"
)  # fmt: skip
_CALLBACK: Final = "flush_callback"
_MOST_DIGITS: Final = 18
#: Values of the setting.
WANTED: Final = 'a JSON object such as {"888888": {"batchMinSize": 500}}, a mapping, or empty'


def check_relay_batch(given: object, origin: str) -> BatchSettings:
    """Return batch options for relayed events.

    Args:
        given: The options, in any form and spelling that `parse_batch_event_data` reads.
        origin: Where they were written, for the error.

    Raises:
        SettingsError: Something is wrong, or a callback is given.
    """
    try:
        checked = parse_batch_event_data(_without_callbacks(given), strict=True)
    except SettingsError as exc:
        raise SettingsError(f"{exc} ({origin})") from None
    if checked.flush_callback:  # of a struct
        raise SettingsError(f"{_no_callback(_CALLBACK)} ({origin})")
    return checked


def _without_callbacks(given: object) -> object:
    for name in given if isinstance(given, Mapping) else ():
        reading = SPELLINGS.get(name) if isinstance(name, str) else None
        if reading is not None and reading.option == _CALLBACK:
            raise SettingsError(_no_callback(name))
    return given


def _no_callback(name: str) -> str:
    return (
        f"batch_event_data: {name} cannot be given for relayed events: no worker could call a function "
        "of the application that sends them. Workers announce what becomes of each batch by signals "
        "(batch_delivered, batch_dead_lettered)"
    )


def outer_options(form: Mapping[str, Any], origin: str) -> Any:
    """The batch options of one account's entry, under any name that an SDK has for them; None for none.

    Raises:
        SettingsError: Two names are given, or one that means nothing.
    """
    for name in form:
        if name != "keys" and name not in OUTER_SPELLINGS:
            known = ("keys", *OUTER_SPELLINGS)
            raise SettingsError(
                f"an account has keys and batch_event_data, and no {shown(name)}{nearest(name, known)} "
                f"({origin})"
            )
    given = [name for name in form if name != "keys" and form[name] is not None]
    if len(given) > 1:
        raise SettingsError(f"{' and '.join(given)} are one option in two spellings ({origin})")
    return form[given[0]] if given else None


def as_text(given: object) -> object:
    """A mapping of accounts as JSON text; anything else unchanged."""
    return json.dumps(given) if isinstance(given, Mapping) else given


def read_relay_batches(text: str, origin: str) -> dict[str, BatchSettings]:
    """Return the batch options of each account in JSON text; none for "".

    Raises:
        SettingsError: The text is something else, or an option is wrong.
    """
    if not text:
        return {}
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SettingsError(
            f"relay_batch_event_data must be {WANTED}; {shown(text)} was given ({origin})"
        )
    for account in found:
        if not (account.isascii() and account.isdigit() and len(account) <= _MOST_DIGITS):
            raise SettingsError(
                f"relay_batch_event_data must be {WANTED}; {shown(account)} is no account ({origin})"
            )
    return {
        account: check_relay_batch(
            options, f"account {account} of relay_batch_event_data, {origin}"
        )
        for account, options in found.items()
    }
