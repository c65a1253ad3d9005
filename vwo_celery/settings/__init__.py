"""The choices of operators and applications, and the places where they are written.

Files, in reading order: `settings` (every setting with its range), `ranges` (how that is written),
`patterns` (forms of text), `checks` (of their values), `sources` (arguments, Django, environment),
`arguments` (their types, for type checkers and `help`), `batch_event_data` (the SDKs' own option in
all its spellings), `relay_batches` (the same of a relay's accounts), `callbacks` (from a
`flush_callback` to its name and back), `redis_url` (Redis URLs, taken apart), `redis_options` (what
may follow a "?" there), `folders` (the user's home). No I/O; nothing to lose.
"""

from __future__ import annotations

from vwo_celery.settings.arguments import BatchEventData, DjangoSettings, SettingsArguments
from vwo_celery.settings.batch_event_data import BatchSettings
from vwo_celery.settings.checks import check, describe
from vwo_celery.settings.settings import Settings

__all__ = [
    "BatchEventData",
    "BatchSettings",
    "DjangoSettings",
    "Settings",
    "SettingsArguments",
    "check",
    "describe",
]
