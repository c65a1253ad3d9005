"""Numbers as Redis keeps them, read so that what somebody else wrote there does no harm.

Pure: nothing to lose.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

#: The largest number that Redis can count to.
LARGEST: Final = 2**63 - 1
#: A number of events or a Unix ms in a JSON document: any that has a meaning can be shown.
Shown = Annotated[int, msgspec.Meta(ge=0, lt=10**14)]
_LARGEST_SHOWN: Final = float(10**14 - 1)
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")


def number(text: bytes | str | None, *, least: int = 0) -> int:
    """A number stored in Redis; 0 if it is missing, no number, less than *least* or too large for one."""
    spelled = text.decode("ascii", "replace") if isinstance(text, bytes) else text or ""
    found = int(spelled) if _NUMBER.fullmatch(spelled) else 0
    return found if least <= found <= LARGEST else 0


def bounded(score: bytes | str | float) -> float:
    """A score as a number that can be shown: one without end, or less than 0, is the nearest."""
    return max(0.0, min(float(score), _LARGEST_SHOWN))


def moment_ms(score: float) -> int:
    """The Unix ms that a score stands for; 0 if it is no time, such as one without end."""
    return int(score) if 0 < score <= LARGEST else 0
