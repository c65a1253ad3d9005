"""The filter language: every word, its round trip, and errors that say what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vwo_celery.errors import FilterError
from vwo_celery.operating.batches.filters import WORDS, Filter
from vwo_celery.queue.looks.snapshots import BatchView
from vwo_celery.sending.outcomes import Failure

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000

texts = st.text(min_size=1, max_size=12)
#: Letters that a writer of words must not trip over.
awkward = st.text(alphabet='ab:"\\ \n\t><é', min_size=1, max_size=8)


def several(values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """Up to three different values."""
    return st.lists(values, max_size=3, unique=True).map(tuple)


@st.composite
def ranges(draw: st.DrawFn, narrowest: int) -> tuple[int | None, int | None]:
    """Two bounds with something between them, either of which may be open."""
    numbers = st.none() | st.integers(0, 10**6)
    over, under = draw(numbers), draw(numbers)
    if under is not None:
        under += (-1 if over is None else over) + narrowest
    return over, under


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Any filter."""
    answers = st.sampled_from(["413", "5xx", *(each.value for each in Failure)])
    died, attempts = draw(ranges(1)), draw(ranges(2))
    return Filter(
        queues=draw(several(texts)), batches=draw(several(texts)),
        reasons=draw(several(texts | awkward)), answers=draw(several(answers)),
        died_over_seconds=died[0], died_under_seconds=died[1],
        attempts_over=attempts[0], attempts_under=attempts[1],
        events=draw(several(texts | awkward)), visitors=draw(several(texts | awkward)),
    )  # fmt: skip


@given(filters())
def test_a_filter_is_read_back_as_it_was_written(wanted: Filter) -> None:
    """What a filter is written as, an audit or a page keeps, and reads back as the same filter."""
    assert Filter.parse(str(wanted)) == wanted


@given(st.text(max_size=40) | st.text(alphabet='reason:"\\ died><2h', max_size=20))
def test_any_text_is_a_filter_or_an_error_of_one_line(text: str) -> None:
    """A text is read, or refused by an error of one line; nothing else is raised."""
    said = why_not(text)

    assert said is None or (said.startswith("filter: ") and said.isprintable())


def why_not(text: str) -> str | None:
    """The error of a text that is no filter; None for one that is, and keeps its meaning."""
    try:
        found = Filter.parse(text)
    except FilterError as exc:
        return str(exc)
    assert Filter.parse(str(found)) == found
    return None


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("", ""),
        ("  queue:a\tqueue:a ", "queue:a"),
        ("not accepted", "reason:not reason:accepted"),
        ('"not accepted"', 'reason:"not accepted"'),
        ('reason:"say \\"no\\""', 'reason:"say \\"no\\""'),
        ("died:>120m", "died:>2h"),
        ("died:>48h died:<7d died:>1h", "died:>2d died:<7d"),
        ("died:>0s", "died:>0s"),
        ("attempts:>2 attempts:<4", "attempts:3"),
        ("attempts:0", "attempts:0"),
        ("visitor:http://u:1 event:a", "event:a visitor:http://u:1"),
    ],
)
def test_a_filter_has_one_shortest_spelling(text: str, same: str) -> None:
    """Words in any order and number have one spelling, which is shown."""
    found = str(Filter.parse(text))

    assert found == same


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("reson:x", "'reson:' (did you mean 'reason'?); known are queue:, batch:, reason:"),
        ("http://x", 'put it in quotes: "http://x"'),
        ("queue:", "queue: takes the name of a queue, as in queue:fme-888888-"),
        ("answer:41", "answer: takes a status such as 413, a class such as 5xx, or one of timeout"),
        ("answer:slow", "as in answer:413; not 'answer:slow'"),
        ("died:2h", "died: takes > or <, a whole number, and s, m, h or d, as in died:>2h; not"),
        ("died:>2w", "not 'died:>2w'"),
        ("died:>2h died:<1h", "died:>2h and died:<1h leaves nothing"),
        (
            "attempts:many",
            "attempts: takes a whole number, alone or after > or <, as in attempts:>3",
        ),
        ("attempts:>3 attempts:<4", "attempts:>3 and attempts:<4 leaves nothing"),
        ('visitor:"u 1', 'does not end; as in visitor:"u 1"'),
        ('visitor:u"1"', "has quotes inside"),
        ("\x1b[2J:x event:", "event: takes the name of an event"),
    ],
)
def test_an_error_names_the_word_the_allowed_and_an_example(text: str, told: str) -> None:
    """Who mistypes a word reads which it is, what is allowed, and an example to copy."""
    with pytest.raises(FilterError) as caught:
        Filter.parse(text)

    assert told in str(caught.value)
    assert str(caught.value).isprintable()


def test_each_example_is_a_filter() -> None:
    """The examples that errors show can be typed as they are."""
    for name, (_, example) in WORDS.items():
        assert str(Filter.parse(example)) == example
        assert example.startswith(f"{name}:")


def batch(
    name: str = "b", *, state: str = "dead", attempt: int = 3, age_ms: int = 0, error: str = ""
) -> BatchView:
    """A batch that came into its state *age_ms* before `NOW_MS`."""
    at_ms = NOW_MS - age_ms
    return BatchView(name, state, attempt, 0, 1, 10, 0, 0, at_ms, error)  # type: ignore[arg-type]


PICKED = [
    ("", batch(), True),
    ("queue:q", batch(), True),
    ("queue:other", batch(), False),
    ("queue:other queue:q", batch(), True),
    ("batch:b", batch(), True),
    ("batch:c", batch(), False),
    ("NOT accepted", batch(error="the key is not Accepted"), True),
    ("not refused", batch(error="the key is not accepted"), False),
    ("answer:413", batch(error="VWO answered 413 (Content Too Large)"), True),
    ("answer:413", batch(error="VWO answered 400 (Bad Request): not 413"), False),
    ("answer:4xx", batch(error="VWO answered 400 (Bad Request)"), True),
    ("answer:4xx", batch(error="VWO answered 503"), False),
    ("answer:dns", batch(error="the host's name could not be resolved: x"), True),
    ("answer:413", batch(error="by somebody: 413"), False),
    ("answer:5xx answer:400", batch(error="VWO answered 400: x"), True),
    ("died:>2h", batch(age_ms=2 * HOUR_MS + 1), True),
    ("died:>2h", batch(age_ms=2 * HOUR_MS), False),
    ("died:<2h", batch(age_ms=2 * HOUR_MS - 1), True),
    ("died:<2h", batch(age_ms=-5), True),
    ("died:<2h", batch(state="released"), False),
    ("attempts:>2", batch(), True),
    ("attempts:>3", batch(), False),
    ("attempts:3", batch(), True),
    ("attempts:<3", batch(), False),
    ("attempts:3 died:<1s batch:c", batch(), False),
]


@pytest.mark.parametrize(("text", "view", "picked"), PICKED)
def test_a_word_picks_a_batch_or_not(text: str, view: BatchView, picked: bool) -> None:
    """All words must hold; of several of one kind with values, one must."""
    assert Filter.parse(text).picks("q", view, NOW_MS) is picked


def test_options_are_words() -> None:
    """The options --queue, --batch and --reason add their words, and change no others."""
    found = Filter.parse("died:>2h queue:a").narrowed(
        queues=["a", "b"], batches=["c"], reason="x y"
    )

    assert str(found) == 'queue:a queue:b batch:c reason:"x y" died:>2h'
    assert Filter().narrowed() == Filter()


PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "filters.md"


def test_the_page_has_every_word() -> None:
    """docs/reference/filters.md lists the words that can be typed, and its examples are filters."""
    rows = re.findall(r"^\| `(\w+):` \|.*\| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)

    assert [name for name, _ in rows] == [*WORDS]
    for name, examples in rows:
        for example in re.findall(r"`([^`]+)`", examples):
            assert str(Filter.parse(example)).startswith(f"{name}:")
