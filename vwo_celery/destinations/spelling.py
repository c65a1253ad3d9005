"""The query of a request line, as SDKs of all languages spell it.

Besides account and key, which every SDK writes alike, a query names the SDK in one of three spellings
or not at all, and may say a little more. What a relay forwards must say what the SDK said: an absent
name is not an empty one. Pure: nothing to lose.

Source: requests of the vendor's SDKs, run or read: Python, Node and PHP legacy write `sdk, sdk-v`; .NET,
Java and Ruby legacy `sd, sv`; Python, Node and .NET FME `sn, sv`, with Android's `i, pt`; Go, Java,
Ruby and old Node FME nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vwo_celery.destinations.parts import is_label, read_pair
from vwo_celery.errors import DestinationError
from vwo_celery.text.masking import mask
from vwo_celery.text.wording import shown

#: Names and values, in the order of the wire.
Pairs = tuple[tuple[str, str], ...]

_SDK_NAMES = ("sdk", "sd", "sn")
SDK_VERSIONS = ("sdk-v", "sv")
#: Usage statistics of the legacy SDKs.
STATISTICS = ("eb", "ig", "ss", "cl", "ll", "gt", "_l")
#: The known names in their order on the wire.
QUERY_NAMES = ("sdk", "sdk-v", "sd", "sn", "sv", "i", "pt", *STATISTICS)
#: Names whose value is a key.
_KEY_NAMES = ("i",)


def read_query(name: str, given: Any) -> Pairs | None:
    """Return a query, sorted; None if it is left out.

    Raises:
        DestinationError: It has a name that is unknown, or twice, or a value that is no text.
    """
    if given is None:
        return None
    pairs = [read_pair(each) for each in given] if isinstance(given, list | tuple) else [None]
    kept = [pair for pair in pairs if pair is not None]
    if len(kept) < len(pairs):  # what was given may hold a key
        raise DestinationError(
            f'{name} must be pairs of printable texts, such as (("sn", "vwo-fme-go-sdk"),); a value '
            f"of type {type(given).__name__} was given that is not"
        )
    names = [each for each, _ in kept]
    for each in names:
        if each not in QUERY_NAMES:
            raise DestinationError(
                f"{name} must have names of {', '.join(QUERY_NAMES)} only; {shown(each)} was given"
            )
        if names.count(each) > 1:
            raise DestinationError(f"{name} must have each name once; {each} was given twice")
    return tuple(sorted(kept, key=lambda pair: QUERY_NAMES.index(pair[0])))


def as_parts(generation: str, query: Pairs) -> tuple[Any, ...] | None:
    """SDK name, version and usage statistics by which a query's request line is made; None for none."""
    wanted = ("sn", "sv") if generation == "fme" else ("sdk", "sdk-v")
    said, more = query[: len(wanted)], query[len(wanted) :]
    if tuple(name for name, _ in said) != wanted:
        return None
    if not all(value and is_label(value) for _, value in said):
        return None
    if any(generation == "fme" or name not in STATISTICS for name, _ in more):
        return None
    return (*(value for _, value in said), more)


def sdk_of(query: Pairs) -> tuple[str, str]:
    """SDK name and version in a query, in whichever spelling; "" for what it does not name."""
    said = dict(query)
    return _first(said, _SDK_NAMES), _first(said, SDK_VERSIONS)


def _first(said: Mapping[str, str], names: Sequence[str]) -> str:
    return next((said[name] for name in names if name in said), "")


def masked(query: Pairs) -> Pairs:
    """Return a query with its keys masked."""
    return tuple((name, mask(value) if name in _KEY_NAMES else value) for name, value in query)


def in_words(query: Pairs) -> str:
    """A query for people, such as "sn=vwo-fme-go-sdk&sv=1.60.0"; keys in it are masked."""
    return "&".join(f"{name}={value}" for name, value in masked(query)) or "no SDK name"
