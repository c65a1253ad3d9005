"""The text of a scrape, byte for byte as prometheus-client writes it, at a tenth of its time.

Beside an event's way. Each line of a family differs from the next in its labels' values and its number
alone, so the rest of it is spelled once; prometheus-client looks at every letter of every name again.
Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, Final

from vwo_celery.metrics.metric import Family, Metric, Spread, cumulative
from vwo_celery.text.lines import one_line

_TOTAL: Final = "_total"
#: A label's value or a number, as it stands in the text.
Spell = Callable[[str], str]
SpellNumber = Callable[[Any], str]


def write_text(
    families: Iterable[Family], namespace: str, spell_number: SpellNumber, *, is_openmetrics: bool
) -> bytes:
    """Write families as text; those without a point are left out.

    Args:
        families: The families.
        namespace: The namespace, which is a label of each line.
        spell_number: Writes a number as prometheus-client does.
        is_openmetrics: Whether the text is OpenMetrics, which names a counter without its "_total".
    """
    spell, number = cache(_escaped), cache(spell_number)
    parts: list[str] = []
    for family in families:
        if family.points:
            parts += _head(family.metric, is_openmetrics=is_openmetrics)
            parts += _lines(family, namespace, spell, number)
    return "".join((*parts, "# EOF\n" if is_openmetrics else "")).encode("utf-8")


def _escaped(value: str) -> str:
    r"""A label's value; Redis may hold any name, and a line end or a NUL would end a scrape's text."""
    return one_line(value).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _head(metric: Metric, *, is_openmetrics: bool) -> Iterator[str]:
    name = metric.name
    if is_openmetrics and metric.kind == "counter":
        name = name.removesuffix(_TOTAL)
    told = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    if is_openmetrics:
        told = told.replace('"', r"\"")
    yield f"# HELP {name} {told}\n"
    yield f"# TYPE {name} {metric.kind}\n"


def _lines(family: Family, namespace: str, spell: Spell, number: SpellNumber) -> Iterator[str]:
    metric, points = family
    if metric.kind == "histogram":
        yield from _histogram(family, namespace, spell, number)
        return
    line, order = _template(metric.name, metric.labels, spell(namespace))
    for labels, value in points:
        yield line % (*map(spell, order(labels)), number(value))


def _histogram(family: Family, namespace: str, spell: Spell, number: SpellNumber) -> Iterator[str]:
    metric, points = family
    bucket, in_order = _template(f"{metric.name}_bucket", (*metric.labels, "le"), spell(namespace))
    count, order = _template(f"{metric.name}_count", metric.labels, spell(namespace))
    total, _ = _template(f"{metric.name}_sum", metric.labels, spell(namespace))
    for labels, value in points:
        if not isinstance(value, Spread):
            raise TypeError(f"{metric.name} has points of two kinds")
        shown = [*map(spell, labels)]
        buckets = cumulative(metric, value)
        for bound, below in buckets:
            yield bucket % (*in_order((*shown, bound)), number(below))
        yield count % (*order(shown), number(buckets[-1][1]))
        yield total % (*order(shown), number(value.total))


def _template(
    name: str, labels: Sequence[str], namespace: str
) -> tuple[str, Callable[[Sequence[str]], Sequence[str]]]:
    """A line with places for its labels' values and its number; and what sorts the values to them."""
    names = sorted((*labels, "namespace"))
    told = namespace.replace("%", "%%")
    words = [f'{each}="{told}"' if each == "namespace" else f'{each}="%s"' for each in names]
    places = [labels.index(each) for each in names if each != "namespace"]
    return f"{name}{{{','.join(words)}}} %s\n", _picker(places)


def _picker(places: Sequence[int]) -> Callable[[Sequence[str]], Sequence[str]]:
    if places == [*range(len(places))]:
        return tuple
    return itemgetter(*places)  # of two places at least, so it returns a tuple
