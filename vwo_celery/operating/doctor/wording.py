"""Names in the doctor's findings: some of them are shown, the others counted. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: Most queues that one finding names; the others are counted.
MOST_NAMES: Final = 5


def names(of: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    shown = list(of)
    more = f" and {len(shown) - MOST_NAMES} more" if len(shown) > MOST_NAMES else ""
    return ", ".join(shown[:MOST_NAMES]) + more
