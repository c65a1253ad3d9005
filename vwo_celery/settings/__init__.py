"""What an operator or an application may choose, and where each value was written.

Files, in reading order: `settings` (every option with its range), `sources` (arguments, Django,
environment), `batch_event_data` (the SDKs' own option, in all its spellings), `callbacks` (a
`flush_callback` as a name, and back), `redis_url` (one Redis URL, taken apart once). No I/O; there is
nothing to lose.
"""

from __future__ import annotations

from vwo_celery.settings.batch_event_data import BatchSettings
from vwo_celery.settings.settings import Settings, check, describe

__all__ = ["BatchSettings", "Settings", "check", "describe"]
