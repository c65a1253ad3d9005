"""Decide what VWO's answer means for the batch: one table, one function.

Between send and settle. The sender describes what happened by an `Answer`; `judge` looks it up in
`OUTCOMES` and decides what becomes of the batch; `backoff_seconds` draws the delay of a released one. A
status is looked up itself first ("413"), then its class ("4xx"), then "other". The same table is
docs/reference/outcomes.md. Pure decisions, no state: nothing to lose with the process.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import timezone
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from typing import Final

import msgspec

#: Longest `Retry-After` that is believed, in seconds; `backoff_seconds` clamps far below it.
MOST_RETRY_AFTER_SECONDS: Final = 366 * 24 * 3600.0
#: Failures from which 2**attempt is beyond any maximum; a float itself ends near 2**1024.
_MOST_DOUBLINGS: Final = 64


class Verdict(str, Enum):
    """The fate of a batch."""

    DELIVERED = "delivered"  #: VWO has it: acknowledge.
    RELEASE = "release"  #: not now: the same batch again, after a backoff.
    TOO_LARGE = "too_large"  #: never as it is: smaller batches may pass.
    REJECTED = "rejected"  #: VWO dislikes something in the body.
    REFUSED = "refused"  #: VWO dislikes us: nothing passes while that is so.


class Failure(str, Enum):
    """The reason why there is no status: it failed before an answer, or instead of one."""

    TIMEOUT = "timeout"
    DNS = "dns"
    TLS = "tls"
    CONNECTION = "connection"
    PROXY = "proxy"
    CA_BUNDLE = "ca_bundle"
    INVALID_ANSWER = "invalid_answer"
    CONFIGURATION = "configuration"
    BODY_TOO_LARGE = "body_too_large"
    TOO_MANY_EVENTS = "too_many_events"
    UNKNOWN = "unknown"


#: Failures of what was too large to be tried: there was no request.
UNSENT: Final = frozenset({Failure.BODY_TOO_LARGE, Failure.TOO_MANY_EVENTS})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one POST: a status, or a failure instead of one.

    Args:
        status: HTTP status, None if there was no answer.
        failure: Why there was none; None if there was one.
        detail: The words of VWO or the operating system about it, without the SDK key; "" for none.
        retry_after: The `Retry-After` header, unchanged; None if there was none.
        elapsed_seconds: Time from the first step of the POST to the last byte that was read.
    """

    status: int | None = None
    failure: Failure | None = None
    detail: str = ""
    retry_after: str | None = None
    elapsed_seconds: float = 0.0

    def __post_init__(self) -> None:
        if (self.status is None) == (self.failure is None):
            raise ValueError("an Answer has either a status or a failure")

    @property
    def word(self) -> str:
        """The answer in one word: the status, or the failure instead of one."""
        return str(int(self.status)) if self.status is not None else Failure(self.failure).value


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a batch, and its reason.

    Args:
        verdict: What becomes of the batch.
        error: The reason in words, for `flush_callback`, signals and logs; None only if delivered.
        retry_after_seconds: Delay that VWO asked for; None if it did not, or if the batch is not
            released.
        own_way: Whether it is this worker's own way to VWO that failed, such as its proxy.
        long_wait: Whether it seldom passes by itself, so that the next attempt waits longer.
    """

    verdict: Verdict
    error: str | None = None
    retry_after_seconds: float | None = None
    own_way: bool = False
    long_wait: bool = False


class Row(msgspec.Struct, frozen=True):
    """One row of the table; the remedy is "" if an operator has nothing to do.

    `own_way` says that it is the worker's own way to VWO that failed: another worker may have one.
    """

    verdict: Verdict
    meaning: str
    remedy: str = ""
    own_way: bool = False
    long_wait: bool = False


OUTCOMES: Final[dict[str, Row]] = {
    "2xx": Row(Verdict.DELIVERED, "VWO accepted the batch"),
    "3xx": Row(
        Verdict.REFUSED,
        "a redirect; it is not followed, since it would carry the key to another address",
        "check base_url",
    ),
    "400": Row(Verdict.REJECTED, "VWO cannot read the batch, or does not know the account"),
    "401": Row(Verdict.REFUSED, "the key is not accepted", "check sdk_key", long_wait=True),
    "403": Row(Verdict.REFUSED, "the account or its key may not send", "check account and key"),
    "404": Row(Verdict.REFUSED, "nothing answers at this path", "check base_url and region"),
    "405": Row(Verdict.REFUSED, "this path takes no POST", "check base_url and region"),
    "407": Row(
        Verdict.RELEASE, "this worker's proxy wants credentials", "check HTTPS_PROXY", own_way=True
    ),
    "408": Row(Verdict.RELEASE, "the server waited too long for the request"),
    "410": Row(Verdict.REFUSED, "this path is gone for good", "check base_url, or upgrade"),
    "413": Row(Verdict.TOO_LARGE, "more events or bytes than VWO takes in one request"),
    "422": Row(Verdict.REJECTED, "VWO cannot make sense of an event"),
    "425": Row(Verdict.RELEASE, "too early"),
    "429": Row(Verdict.RELEASE, "too many requests"),
    "4xx": Row(Verdict.REFUSED, "the request line or a header is not accepted", "check all of it"),
    "5xx": Row(Verdict.RELEASE, "the server is in trouble"),
    "other": Row(Verdict.RELEASE, "a status that HTTP does not define for an answer"),
    "timeout": Row(Verdict.RELEASE, "no answer within request_timeout_seconds"),
    "dns": Row(Verdict.RELEASE, "the host's name could not be resolved"),
    "tls": Row(Verdict.RELEASE, "the host's certificate or the TLS handshake failed"),
    "connection": Row(Verdict.RELEASE, "the connection was refused, reset or closed"),
    "proxy": Row(
        Verdict.RELEASE, "this worker's proxy could not be used", "check HTTPS_PROXY", own_way=True
    ),
    "ca_bundle": Row(
        Verdict.RELEASE,
        "this worker's CA bundle could not be loaded",
        "check REQUESTS_CA_BUNDLE",
        own_way=True,
    ),
    "invalid_answer": Row(Verdict.RELEASE, "what came back was not an HTTP answer"),
    "configuration": Row(
        Verdict.REFUSED, "the destination cannot be asked as it is", "check base_url and sdk_key"
    ),
    "body_too_large": Row(Verdict.TOO_LARGE, "the body is over VWO's limit and was not sent"),
    "too_many_events": Row(Verdict.TOO_LARGE, "the events are over VWO's limit and were not sent"),
    "unknown": Row(Verdict.RELEASE, "the HTTP library failed in a way this release does not know"),
}

#: Meanings as the release before wrote them, where they differ.
_EARLIER: Final = (("the proxy could not be used", Failure.PROXY),)
#: The beginning of an error that tells of an HTTP status, as `_in_words` writes it.
_ANSWERED: Final = re.compile(r"VWO answered (\d{3})(?: \(|: |; |$)", re.ASCII)


def judge(answer: Answer, *, now: float) -> Outcome:
    """Decide what becomes of a batch that got this answer.

    Args:
        answer: The result of the POST.
        now: Unix seconds, from which the wait until a `Retry-After` date is counted.
    """
    row = _row_of(answer)
    if row.verdict is Verdict.DELIVERED:
        return Outcome(verdict=row.verdict)
    wait = None
    if row.verdict is Verdict.RELEASE and answer.retry_after is not None:
        wait = retry_after_seconds(answer.retry_after, now=now)
    return Outcome(
        verdict=row.verdict,
        error=_in_words(answer, row),
        retry_after_seconds=wait,
        own_way=row.own_way,
        long_wait=row.long_wait,
    )


def _row_of(answer: Answer) -> Row:
    if answer.status is None:
        return OUTCOMES[Failure(answer.failure).value]
    keys = (str(answer.status), f"{answer.status // 100}xx", "other")
    return next(OUTCOMES[key] for key in keys if key in OUTCOMES)


def _in_words(answer: Answer, row: Row) -> str:
    if answer.status is None:
        words = row.meaning
    else:
        words = f"VWO answered {answer.status}{_phrase(answer.status)}"
    if answer.detail:
        words += f": {answer.detail}"
    return f"{words}; {row.remedy}" if row.remedy else words


def answer_of(error: str) -> str:
    """Return the answer that a batch's stored error tells of: "413", a word of `Failure`, or "".

    It reads what `judge` wrote, in this release or an earlier one; only the words before VWO's own
    count, since those may say anything. "" is for a reason that is no answer: an operator's, events
    that are gone, workers that went silent.
    """
    status = _ANSWERED.match(error)
    if status is not None:
        return status[1]
    meanings = [(OUTCOMES[each.value].meaning, each) for each in Failure]
    told = (each.value for meaning, each in (*meanings, *_EARLIER) if _begins(error, meaning))
    return next(told, "")


def _begins(error: str, meaning: str) -> bool:
    return error.startswith(meaning) and error[len(meaning) :][:1] in ("", ":", ";")


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def retry_after_seconds(header: str, *, now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks for; None if it cannot be read.

    Args:
        header: Seconds, or a date (RFC 9110 §10.2.3).
        now: Unix seconds, from which the wait until a date is counted.
    """
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MOST_RETRY_AFTER_SECONDS)
    try:
        date = parsedate_to_datetime(text)
        # HTTP dates are always GMT; the oldest form does not say so.
        until = (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(0.0, until - now), MOST_RETRY_AFTER_SECONDS)


def backoff_seconds(
    attempt: int,
    *,
    base: float,
    maximum: float,
    floor: float | None = None,
    random: Callable[[], float],
) -> float:
    """Draw the delay of a released batch, with full jitter so that workers do not retry in step.

    Args:
        attempt: Failures so far, from 0 without bound.
        base: Seconds, doubled by each failure.
        maximum: Longest delay in seconds, whatever VWO asks for.
        floor: Shortest delay in seconds, from `Retry-After`, clamped to *maximum*; None for none.
        random: Returns a number from 0 to 1, such as `random.random`.
    """
    ceiling = min(maximum, math.ldexp(base, min(attempt, _MOST_DOUBLINGS)))
    lowest = 0.0 if floor is None else min(floor, maximum)
    return max(ceiling * random(), lowest)
