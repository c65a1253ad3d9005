"""Every error this package raises, as one tree.

VwoCeleryError
├── SettingsError          a setting or batch option has a wrong value (also a ValueError)
├── DestinationError       the destination is incomplete or contradictory (also a ValueError)
├── FilterError            a filter of batches cannot be read (also a ValueError)
├── EventError             JSON or VWO's limits cannot carry the event (also a ValueError)
├── QueueUnavailable       Redis did not answer, or refused
├── QueueFull              a queue is at its capacity, and `when_full` is "raise"
├── SpoolUnavailable       this host's spool cannot be written or read
│   └── SpoolFull          this host's spool is at its capacity
├── QueueUnknown           no queue is registered under that name
│   └── QueueUnreadable    one is, in a way that this release cannot read
├── MoveRefused            events must not be moved to that destination, or imported into that queue
├── JobUnknown             there is no job of that id, or it has ended
├── HostRefused            this worker may not send to the destination's host
├── CallbackRefused        this worker may not import the flush_callback, or cannot
└── SdkError               the VWO client cannot be attached, or made

Pure: nothing to lose. A message says what failed, what is true now, and what to do; no message holds
an SDK key or a password.
"""

from __future__ import annotations

from vwo_celery.text.lines import one_line


class VwoCeleryError(Exception):
    """Base of every error of this package; its text is one line, whatever names it quotes."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class SettingsError(VwoCeleryError, ValueError):
    """A setting or batch option has a wrong value; names the option, its range and the value."""


class DestinationError(VwoCeleryError, ValueError):
    """The destination is incomplete or contradictory."""


class FilterError(VwoCeleryError, ValueError):
    """A filter of batches cannot be read; names the word, what is allowed and an example."""


class EventError(VwoCeleryError, ValueError):
    """JSON or VWO's limits cannot carry the event.

    Attributes:
        reason: One word for counters and receipts, such as "not_json" or "too_large".
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class QueueUnavailable(VwoCeleryError):
    """Redis did not answer in time, or refused; the command may or may not have run."""


class QueueFull(VwoCeleryError):
    """A queue is at its capacity, and `when_full` is "raise"; none of the events were stored."""


class SpoolUnavailable(VwoCeleryError):
    """This host's spool cannot be written or read; the events are not spooled."""


class SpoolFull(SpoolUnavailable):
    """This host's spool is at its capacity; the events are not spooled."""


class QueueUnknown(VwoCeleryError, LookupError):
    """No queue is registered under that name."""


class QueueUnreadable(QueueUnknown):
    """A queue's registration cannot be read by this release; a later one may have written it."""


class MoveRefused(VwoCeleryError):
    """Events must not go to that destination, or into that queue; those named are where they were."""


class JobUnknown(VwoCeleryError, LookupError):
    """There is no job of that id, or it has ended."""


class HostRefused(VwoCeleryError):
    """This worker may not send to the destination's host; nothing was sent."""


class CallbackRefused(VwoCeleryError):
    """This worker may not import the flush_callback, or cannot; it delivers without calling it."""


class SdkError(VwoCeleryError):
    """The VWO client cannot be attached, or made; a client that exists keeps its own queue."""
