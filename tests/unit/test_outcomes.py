"""The table of outcomes, `Retry-After`, and the backoff."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vwo_celery.sending.outcomes import (
    MOST_RETRY_AFTER_SECONDS,
    OUTCOMES,
    Answer,
    Failure,
    Outcome,
    Verdict,
    answer_of,
    backoff_seconds,
    judge,
    retry_after_seconds,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "outcomes.md"
#: Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 §5.6.7.
NOVEMBER_1994 = 784_111_777.0


def outcome_of(status: int, *, detail: str = "", retry_after: str | None = None) -> Outcome:
    """The outcome of an answer with this status, judged at `NOVEMBER_1994`."""
    answer = Answer(status=status, detail=detail, retry_after=retry_after)
    return judge(answer, now=NOVEMBER_1994)


@pytest.mark.parametrize(
    ("verdict", "statuses"),
    [
        (Verdict.DELIVERED, [200, 201, 202, 204, 206, 299]),
        (Verdict.TOO_LARGE, [413]),
        (Verdict.REJECTED, [400, 422]),
        (Verdict.REFUSED, [300, 301, 302, 303, 304, 307, 308]),
        (Verdict.REFUSED, [401, 402, 403, 404, 405, 406, 410, 411, 414, 415, 431, 451, 499]),
        (Verdict.RELEASE, [407, 408, 425, 429]),
        (Verdict.RELEASE, [500, 501, 502, 503, 504, 507, 520, 599]),
        (Verdict.RELEASE, [0, 99, 100, 101, 103, 199, 600, 999]),
    ],
)
def test_what_a_status_means(verdict: Verdict, statuses: list[int]) -> None:
    """Each status has the verdict that loses nothing and blocks nothing."""
    assert {outcome_of(status).verdict for status in statuses} == {verdict}


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (Failure.TIMEOUT, Verdict.RELEASE),
        (Failure.DNS, Verdict.RELEASE),
        (Failure.TLS, Verdict.RELEASE),
        (Failure.CONNECTION, Verdict.RELEASE),
        (Failure.PROXY, Verdict.RELEASE),
        (Failure.CA_BUNDLE, Verdict.RELEASE),
        (Failure.INVALID_ANSWER, Verdict.RELEASE),
        (Failure.UNKNOWN, Verdict.RELEASE),
        (Failure.CONFIGURATION, Verdict.REFUSED),
        (Failure.BODY_TOO_LARGE, Verdict.TOO_LARGE),
        (Failure.TOO_MANY_EVENTS, Verdict.TOO_LARGE),
    ],
)
def test_what_a_failure_means(failure: Failure, verdict: Verdict) -> None:
    """A failure on the way leads to another attempt; a permanent one does not."""
    assert judge(Answer(failure=failure), now=0).verdict is verdict


def test_a_workers_own_way_is_told_from_vwos_trouble() -> None:
    """Trouble with a worker's proxy or CA bundle is its own; what VWO's outage looks like is not."""
    own = {failure for failure in Failure if judge(Answer(failure=failure), now=0).own_way}

    assert own == {Failure.PROXY, Failure.CA_BUNDLE}
    assert [status for status in range(1000) if outcome_of(status).own_way] == [407]


def test_every_failure_has_its_row() -> None:
    """The table has a row for each failure and each class of status, and no other."""
    words = {key for key in OUTCOMES if not key[0].isdigit()}

    assert words == {failure.value for failure in Failure} | {"other"}
    assert {"2xx", "3xx", "4xx", "5xx"} <= set(OUTCOMES)


def test_only_a_delivered_batch_has_no_error() -> None:
    """`flush_callback` gets an error exactly if VWO did not accept."""
    outcomes = [outcome_of(status) for status in range(1_000)]

    assert all((o.error is None) == (o.verdict is Verdict.DELIVERED) for o in outcomes)
    assert all(judge(Answer(failure=failure), now=0).error for failure in Failure)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=503), "VWO answered 503 (Service Unavailable)"),
        (Answer(status=503, detail="busy"), "VWO answered 503 (Service Unavailable): busy"),
        (Answer(status=599), "VWO answered 599"),
        (Answer(status=401), "VWO answered 401 (Unauthorized); check sdk_key"),
        (Answer(failure=Failure.TIMEOUT), "no answer within request_timeout_seconds"),
        (
            Answer(failure=Failure.DNS, detail="Name or service not known"),
            "the host's name could not be resolved: Name or service not known",
        ),
    ],
)
def test_the_error_is_for_people(answer: Answer, error: str) -> None:
    """An error contains the answer, its text from VWO, and the remedy if there is one."""
    assert judge(answer, now=0).error == error


@pytest.mark.parametrize("given", [{}, {"status": 200, "failure": Failure.DNS}])
def test_an_answer_is_a_status_or_a_failure(given: dict[str, object]) -> None:
    """An answer is either a status or a failure: neither or both is an error."""
    with pytest.raises(ValueError, match="either a status or a failure"):
        Answer(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 5_000, MOST_RETRY_AFTER_SECONDS),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MOST_RETRY_AFTER_SECONDS),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Sun, 99 Nov 1994 08:50:37 GMT", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    """Accepted are seconds and HTTP's three forms of a date, by our clock; anything else is ignored."""
    assert retry_after_seconds(header, now=NOVEMBER_1994) == seconds


@given(st.text() | st.text("0123456789 :,-+GMTSunNov"))
def test_any_retry_after_is_survived(header: str) -> None:
    """Any Retry-After of a server leads to a wait within bounds, or None."""
    seconds = retry_after_seconds(header, now=NOVEMBER_1994)

    assert seconds is None or 0 <= seconds <= MOST_RETRY_AFTER_SECONDS


def test_retry_after_counts_only_for_a_release() -> None:
    """Retry-After counts only for a release, the only verdict with another attempt."""
    assert outcome_of(429, retry_after="30").retry_after_seconds == 30
    assert outcome_of(503, retry_after="30").retry_after_seconds == 30
    assert outcome_of(503).retry_after_seconds is None
    assert outcome_of(200, retry_after="30").retry_after_seconds is None
    assert outcome_of(403, retry_after="30").retry_after_seconds is None


@given(
    attempt=st.integers(0, 10_000),
    base=st.floats(0.001, 1_000),
    maximum=st.floats(0.001, 100_000),
    floor=st.none() | st.floats(0, 1_000_000),
    chance=st.floats(0, 1),
)
def test_a_backoff_is_within_its_bounds(
    attempt: int, base: float, maximum: float, floor: float | None, chance: float
) -> None:
    """A backoff is between the floor, if any, and the maximum, at any attempt."""
    seconds = backoff_seconds(
        attempt, base=base, maximum=maximum, floor=floor, random=lambda: chance
    )

    assert min(floor or 0, maximum) <= seconds <= maximum


@pytest.mark.parametrize(
    ("attempt", "most"), [(0, 1.0), (1, 2.0), (4, 16.0), (8, 256.0), (9, 300.0), (10_000, 300.0)]
)
def test_a_backoff_is_random_from_zero(attempt: int, most: float) -> None:
    """Full jitter: between zero and base · 2^attempt, which the maximum bounds."""

    def backoff(chance: float) -> float:
        return backoff_seconds(attempt, base=1, maximum=300, random=lambda: chance)

    assert (backoff(0.0), backoff(0.5), backoff(1.0)) == (0.0, most / 2, most)


def test_a_floor_is_kept_and_clamped() -> None:
    """`Retry-After` is the shortest wait, up to the maximum."""
    source = random.Random(1).random

    assert backoff_seconds(0, base=1, maximum=300, floor=50, random=source) == 50
    assert backoff_seconds(0, base=1, maximum=300, floor=5_000, random=source) == 300


def test_the_page_is_the_table() -> None:
    """docs/reference/outcomes.md has the table's rows, in its order, and no others."""
    rows = re.findall(
        r"^\| `(.+)` \| (.+) \| (.+) \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )

    assert rows == [
        (key, row.verdict.value, row.meaning, row.remedy) for key, row in OUTCOMES.items()
    ]


ANSWERS = [Answer(status=status) for status in range(300, 600)] + [
    Answer(failure=failure) for failure in Failure
]


@pytest.mark.parametrize("detail", ["", "VWO answered 500; timeout: no answer"])
def test_the_answer_is_told_from_the_stored_error(detail: str) -> None:
    """A filter finds a batch by the answer that VWO gave, whatever words came with it."""
    for answer in ANSWERS:
        said = replace(answer, detail=detail)
        error = judge(said, now=NOVEMBER_1994).error or ""

        assert answer_of(error) == (
            str(said.status) if said.failure is None else said.failure.value
        )


@pytest.mark.parametrize(
    "reason",
    ["", "by ann on host, 2026-11-27", "2 of 5 events are gone from Redis; not sent", "VWO answered",
     "3 workers went silent while they held this batch; not sent again", "VWO answered 4130",
     "VWO answered 413th", "no answer within request_timeout_seconds, it seems"],
)  # fmt: skip
def test_a_reason_that_is_no_answer_tells_none(reason: str) -> None:
    """Operators, lost events and silent workers give no answer of VWO's."""
    assert answer_of(reason) == ""


def test_an_answer_is_told_as_the_release_before_wrote_it() -> None:
    """A dead letter of release 0.1.0 is found by its answer, too."""
    assert answer_of("the proxy could not be used: refused") == "proxy"
    assert answer_of("VWO answered 413 (Request Entity Too Large)") == "413"
