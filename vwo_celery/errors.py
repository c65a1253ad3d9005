"""Every error this package raises, as one tree.

VwoCeleryError
├── SettingsError          a setting or batch option has a wrong value (also a ValueError)
├── DestinationError       where events shall go cannot be told, or contradicts itself (also a ValueError)
├── EventError             an event that JSON or VWO's limits cannot carry (also a ValueError)
├── QueueUnavailable       Redis did not answer, or refused
├── QueueFull              a queue is at its capacity and `when_full` is "raise"
├── SpoolUnavailable       this host's spool cannot be written or read
│   └── SpoolFull          it is at its capacity
├── QueueUnknown           nothing is registered under that queue's name
├── HostRefused            a destination whose host this worker may not send to
├── CallbackRefused        a flush_callback this worker may not import, or cannot
└── SdkError               a VWO client that cannot be attached

Place: words, no I/O. A message says what was tried, what is true now, and what to do; no message
holds an SDK key or a password.
"""

from __future__ import annotations


class VwoCeleryError(Exception):
    """Base of every error of this package."""


class SettingsError(VwoCeleryError, ValueError):
    """A setting or batch option has a wrong value; names the option, its range and what was given."""


class DestinationError(VwoCeleryError, ValueError):
    """Where events shall go cannot be told, or contradicts itself."""


class EventError(VwoCeleryError, ValueError):
    """An event that JSON or VWO's limits cannot carry.

    Attributes:
        reason: One word for counters and receipts, such as "not_json" or "too_large".
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class QueueUnavailable(VwoCeleryError):
    """Redis did not answer in time, or refused; what was asked for may or may not have happened."""


class QueueFull(VwoCeleryError):
    """A queue is at its capacity and `when_full` is "raise"; none of the events were stored."""


class SpoolUnavailable(VwoCeleryError):
    """This host's spool cannot be written or read; what was to be spooled is not."""


class SpoolFull(SpoolUnavailable):
    """This host's spool is at its capacity; what was to be spooled is not."""


class QueueUnknown(VwoCeleryError, LookupError):
    """Nothing is registered under that queue's name."""


class HostRefused(VwoCeleryError):
    """A destination whose host this worker may not send to; nothing was sent."""


class CallbackRefused(VwoCeleryError):
    """A flush_callback this worker may not import, or cannot; delivery goes on without it."""


class SdkError(VwoCeleryError):
    """A VWO client that cannot be attached; its own queue is left as it was."""
