"""Charts: what is drawn of which numbers, as text, and that each number can be read without a picture."""

from __future__ import annotations

import re
from datetime import timezone
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vwo_celery.console.charts.axes import axis_of, round_up, times_of
from vwo_celery.console.charts.drawing import HEIGHT, WIDTH, draw, runs
from vwo_celery.console.charts.pictures import Limit, Line, Mark, Picture
from vwo_celery.console.charts.small import meter, spark
from vwo_celery.console.charts.spelling import short, spell, spell_time
from vwo_celery.console.charts.tables import label_of, table_of

UTC = timezone.utc
MINUTE_MS = 60_000
START_MS = 1_800_000_000_000
GOLDEN = Path(__file__).parent / "charts"
SVG = "{http://www.w3.org/2000/svg}"


def times(number: int) -> tuple[int, ...]:
    """The ends of so many minutes."""
    return tuple(START_MS + MINUTE_MS * n for n in range(number))


def picture(*lines: Line, **more: object) -> Picture:
    """A picture of lines of one length, a minute between two values."""
    return Picture("Events a second", times(len(lines[0].values)), lines, **more)  # type: ignore[arg-type]


PICTURES = {
    "lines": picture(
        Line("accepted", "accepted", (100.0, 140.0, 180.0, 160.0)),
        Line("delivered", "delivered", (90.0, 150.0, 120.0, 0.0)),
        unit="rate",
        running=True,
    ),
    "gap": picture(
        Line("undelivered", "waiting", (10.0, None, 30.0, 20.0, None, 5.0), area=True),
        stopped=(False, False, True, True, False, False),
        marks=(Mark(START_MS + 2 * MINUTE_MS, "pause by ana"),),
    ),
    "stacked": picture(
        Line("accepted by VWO", "delivered", (5.0, 6.0, 4.0)),
        Line("failed", "dead", (0.0, 2.0, 1.0)),
        Line("nothing", "other", (0.0, 0.0, 0.0)),
        stacked=True,
    ),
    "ages": picture(
        Line("oldest waiting", "oldest", (2.0, 40.0, 4_000.0)),
        unit="seconds",
        logarithmic=True,
        limit=Limit("interval", 60.0),
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_chart_is_drawn_as_it_was_looked_at(name: str) -> None:
    """A chart stays as somebody has looked at it; one that shall change is looked at again."""
    drawn = str(draw(PICTURES[name], UTC)).replace("><", ">\n<") + "\n"

    assert drawn == (GOLDEN / f"{name}.svg").read_text("utf-8")


numbers = st.floats(0, 1e15, allow_nan=False) | st.sampled_from([0.0, 1.0, 999.5, 1e3])
series = st.lists(numbers | st.none(), min_size=2, max_size=12)


def plotted(svg: str, style: str) -> list[tuple[float, float]]:
    """The points of the lines of a style, in the plot's units."""
    root = ET.fromstring(svg)
    paths = [e for e in root.iter() if e.tag.endswith("path") and e.get("class", "") in (
        f"line {style}", f"line running {style}",
    )]  # fmt: skip
    found = re.findall(r"(-?[\d.]+),(-?[\d.]+)", " ".join(e.get("d", "") for e in paths))
    return [(float(x), float(y)) for x, y in found]


def test_a_legend_tells_of_the_last_step_that_has_ended() -> None:
    """Of the running minute some numbers are not known yet; what is not known otherwise stays so."""
    line = Line("it", "accepted", (1.0, 2.0, None))
    chart = picture(line)

    assert msgspec.structs.replace(chart, running=True).last(line) == 2.0
    assert chart.last(line) is None


@given(series)
def test_the_highest_value_is_highest_and_nothing_leaves_the_plot(
    values: list[float | None],
) -> None:
    """Greater values stand higher, within the plot, and no number of a chart is NaN."""
    known = [each for each in values if each is not None]
    assume(known)

    svg = str(draw(picture(Line("it", "accepted", tuple(values))), UTC))

    assert "nan" not in svg.lower()
    assert "inf" not in svg.lower()
    points = plotted(svg, "accepted")
    assert all(-0.1 <= x <= WIDTH + 0.1 and -0.1 <= y <= HEIGHT + 0.1 for x, y in points)
    highest = [x for x, y in points if y == min(y for _, y in points)]
    place = values.index(max(known)) * WIDTH / (len(values) - 1)
    assert any(abs(x - place) < 0.2 for x in highest)


@given(series)
def test_a_missing_sample_is_a_gap_and_never_a_zero(values: list[float | None]) -> None:
    """The path of a line begins anew behind each value that is missing."""
    assume(any(each is not None for each in values))

    svg = str(draw(picture(Line("it", "accepted", tuple(values))), UTC))

    assert len(re.findall(r'class="line accepted"', svg)) == len(runs(values))
    assert len(plotted(svg, "accepted")) == sum(each is not None for each in values)


@given(st.floats(1e-6, 1e15))
def test_an_axis_ends_at_a_round_number_just_above(value: float) -> None:
    """No value is beyond the top, and at least half of the height is used."""
    top = round_up(value)

    assert value <= top <= 2.01 * value


@given(st.lists(st.floats(0, 1e7), min_size=2, max_size=20), st.none() | st.floats(0.1, 1e6))
def test_ages_have_a_place_on_a_logarithmic_axis(ages: list[float], limit: float | None) -> None:
    """Each age, and the one that is promised, stands between bottom and top; older ones higher."""
    axis = axis_of(
        picture(
            Line("oldest", "oldest", tuple(ages)), logarithmic=True, unit="seconds",
            limit=None if limit is None else Limit("interval", limit),
        )
    )  # fmt: skip

    places = [axis.place(age) for age in sorted(ages)]

    assert places == sorted(places)
    assert all(0 <= place <= 1.0000001 for place in places)
    assert list(axis.ticks) == sorted(set(axis.ticks))


@given(st.integers(60, 90 * 86_400))
def test_few_round_times_are_named(seconds: int) -> None:
    """Whatever the span, at most seven times have a name, within it."""
    last = START_MS + 1000 * seconds

    found = times_of(START_MS, last, UTC)

    assert len(found) <= 7
    assert all(START_MS <= each <= last for each in found)
    assert all(each % MINUTE_MS == 0 for each in found)


def test_what_is_always_zero_is_not_stacked_upon_others() -> None:
    """A part that is always 0 would paint its line over the one below."""
    assert "other" not in str(draw(PICTURES["stacked"], UTC))


def test_text_from_outside_cannot_leave_its_place() -> None:
    """Names and marks are escaped, and letters that turn text around are shown as what they are."""
    evil = '</title><script>"\u202e'
    svg = str(draw(picture(Line(evil, "accepted", (1.0, 2.0)), marks=(Mark(START_MS, evil),)), UTC))

    root = ET.fromstring(svg)

    assert not [each for each in root.iter() if each.tag.endswith("script")]
    assert "\u202e" not in svg


def test_a_chart_has_classes_alone() -> None:
    """No attribute holds a style or a handler, so that the strictest policy lets a chart be."""
    for each in PICTURES.values():
        names = {name for e in ET.fromstring(str(draw(each, UTC))).iter() for name in e.attrib}
        assert not {name for name in names if name == "style" or name.startswith("on")}


def test_a_screen_reader_says_first_last_and_highest() -> None:
    """The label of a chart holds the numbers that one would look for in it."""
    label = label_of(PICTURES["lines"], UTC)

    assert "Events a second, 08:00 to 08:03" in label
    assert "accepted first 100 / s, last 160 / s, highest 180 / s at 08:02" in label


def test_a_table_has_every_number_the_latest_first() -> None:
    """What a chart shows can be read without it."""
    table = table_of(PICTURES["gap"], UTC)

    assert table.head == ("until", "undelivered")
    assert table.rows[0] == ("08:05", "5")
    assert table.rows[1] == ("08:04", "not known")
    assert len(table.rows) == 6


def test_a_pointer_is_told_each_time() -> None:
    """Each time has a column with its values; one of which nothing is known has none."""
    svg = str(draw(PICTURES["gap"], UTC))

    assert "<title>08:02: undelivered 30, nothing sent</title>" in svg
    assert svg.count('class="column"') == 4


def test_numbers_are_short() -> None:
    """Three digits and a unit are enough beside an axis."""
    assert [short(each) for each in (0, 0.25, 7, 7.25, 719, 999.6, 1_500, 12_000, 2e6)] == [
        "0", "0.25", "7", "7.2", "719", "1 k", "1.5 k", "12 k", "2 M",
    ]  # fmt: skip
    assert spell(None, "rate") == "not known"
    assert spell(90.0, "seconds") == "90 s"
    assert spell_time(START_MS, 3_600_000, UTC) == "08:00"
    assert spell_time(START_MS, 90 * 86_400_000, UTC) == "Jan 15"


@given(st.floats(-1, 3), series)
def test_small_charts_are_images_of_any_numbers(share: float, values: list[float | None]) -> None:
    """A meter and a sparkline can be drawn whatever the numbers are."""
    for svg in (meter(share), spark(values, "delivered")):
        assert "nan" not in str(svg)
        assert ET.fromstring(str(svg)).get("aria-hidden") == "true"
