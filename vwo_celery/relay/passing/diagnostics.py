"""The SDKs' reports on themselves: debug messages, log lines, usage statistics.

They are no events of a visitor, so none of them may delay or displace one: by default they are sent on
in the background, once, from memory; see `vwo_celery.sending.forwarding`. Only an account that may send
events may have them sent on, only to VWO's hosts or to `relay_upstream`. `vwo_sdkUsageStats` goes to an
account of VWO's, and its query names no key (the SDKs' `getEventsBaseProperties`), or from Python's 1.65
on that of the account it tells of: whose it is says the report itself. A report inside a batch stays
there. If the process dies, reports that wait are lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from vwo_celery.destinations import Destination
from vwo_celery.events import USAGE_STATISTICS, decode
from vwo_celery.relay.reading.request import Request
from vwo_celery.relay.reading.singles import envelope_of
from vwo_celery.relay.rules.answers import NO_SENDER, OTHER_REPORT, Refused
from vwo_celery.relay.telling.counts import counted
from vwo_celery.sending.forwarding import FORWARDED, Forwarder

#: Reports, by the event's name in the query.
REPORTS: Final = frozenset(("vwo_sdkDebug", "vwo_log", USAGE_STATISTICS))
#: Most bytes of a report that is sent on; real ones have about one thousand.
MOST_REPORT_BYTES: Final = 65_536
#: Words for the counts, beside those of `forwarding`.
QUEUED: Final = "queued"
SWITCHED_OFF: Final = "switched_off"
TOO_LARGE: Final = "too_large"
#: Longest wait for a report that is under way when the relay ends.
_END_SECONDS: Final = 1.0


class Sender(NamedTuple):
    """Whose a report is."""

    account: str
    key: str


class _Meta(msgspec.Struct):
    a: int | str = ""
    env: str = ""


class _Properties(msgspec.Struct):
    vwoMeta: _Meta = msgspec.field(default_factory=_Meta)  # noqa: N815  (the vendor's name)


class _Event(msgspec.Struct):
    name: str = ""
    props: _Properties = msgspec.field(default_factory=_Properties)


class _Inner(msgspec.Struct):
    event: _Event = msgspec.field(default_factory=_Event)


class _Report(msgspec.Struct):
    d: _Inner


_read = msgspec.json.Decoder(_Report).decode
_counting: Final = threading.Lock()


def is_report(request: Request) -> bool:
    """Whether a request to `events/t` is a report of an SDK on itself."""
    return request.query.get("en") in REPORTS


def sender_of(request: Request, item: bytes) -> Sender:
    """Whose report it is: the account and key of its query, or of the report itself.

    Args:
        request: The request, one of `is_report`.
        item: Its body as `singles.event_of` returns it.

    Raises:
        Refused: It does not say, or it is another event than its query names.
    """
    event = _event_of(item)
    if event.name != request.query.get("en"):
        raise Refused(OTHER_REPORT)
    key = request.key()
    meta = event.props.vwoMeta
    if event.name != USAGE_STATISTICS or (key and not meta.a):
        return Sender(request.query.get("a", ""), key)
    if not (meta.a and meta.env and request.query.get("a", "").isdecimal()):
        raise Refused(NO_SENDER)
    if key and key != meta.env:
        raise Refused(NO_SENDER)
    return Sender(str(meta.a), meta.env)


def _event_of(item: bytes) -> _Event:
    with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _read(item).d.event
    with suppress(msgspec.ValidationError):  # msgspec reads no lone surrogates
        return msgspec.convert(decode(item), _Report).d.event
    return _Event()


class Reports:
    """What becomes of reports that are not put on the queue.

    Args:
        is_forwarding: Whether they are sent on; else they are thrown away.
        upstream: URL that stands for VWO's hosts; "" for VWO's own.
    """

    def __init__(self, *, is_forwarding: bool, upstream: str = "") -> None:
        self._is_forwarding = is_forwarding
        self._forwarder = Forwarder(note, [_host_of(upstream)] if upstream else [])

    def take(self, request: Request, item: bytes, destination: Callable[[], Destination]) -> None:
        """Send a report on in the background, or throw it away; waits for nothing.

        Args:
            request: The request.
            item: Its body as `singles.event_of` returns it.
            destination: Returns where it goes, of the generation "single".

        Raises:
            Refused: It cannot be sent on.
        """
        to = destination()
        envelope = envelope_of(request, item, to)
        if not self._is_forwarding:
            note(SWITCHED_OFF)
        elif len(item) > MOST_REPORT_BYTES:
            note(TOO_LARGE)
        else:
            self._forwarder.forward(to, envelope)

    def end(self) -> None:
        """Send none on any more; waits a moment for the one under way."""
        self._forwarder.end(_END_SECONDS)


def _host_of(upstream: str) -> str:
    """The host that workers, too, would look for in their `allowed_hosts`."""
    return Destination(account_id=0, sdk_key="-", generation="single", base_url=upstream).host


def note(outcome: str) -> None:
    """Count what became of a report; threads do."""
    with _counting:
        counted.reports[outcome] += 1


def lost_reports() -> int:
    """Number of reports of this process that reached nobody."""
    return sum(n for outcome, n in counted.reports.items() if outcome not in (FORWARDED, QUEUED))
