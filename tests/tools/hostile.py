"""Text that would forge lines, steer a terminal or show what is not there, and a search for it."""

from __future__ import annotations

import sys
import unicodedata

#: The beginning of a line that stands in no output, unless a name has forged it.
FORGED = "FORGED line of a log"
_OBEYED = {"Cc", "Cf", "Zl", "Zp"}
_CATEGORIES = {*_OBEYED, "Cs", "Co", "Cn"}
#: Letters of other categories that nobody sees.
_UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u2800\u3164\ufe00\ufe0f\uffa0\U000e0100\xa0\u3000"


def unsafe_letters(text: str) -> str:
    """The letters of *text* that a terminal obeys or nobody sees; a line end counts as such."""
    return "".join(
        letter for letter in sorted(set(text))
        if unicodedata.category(letter) in _CATEGORIES or letter in _UNSEEN
    )  # fmt: skip


_TO_HERE = 0x3000
#: All control, format and line characters below U+3000, and those beyond that people meet.
HOSTILE = (
    f"name\r\n{FORGED}\x1b[2J\x1b]0;pwned\x07\x9b31m"
    + "".join(each for each in map(chr, range(_TO_HERE)) if unicodedata.category(each) in _OBEYED)
    + "\ufeff\ufff9\U000e0001\U000e0041"
    + _UNSEEN
)


def harm(output: str) -> str:
    """The unsafe letters of an output besides its own line ends, and lines that were forged."""
    forged = [line for line in output.split("\n") if line.startswith(FORGED)]
    return unsafe_letters(output.replace("\n", "")) + "".join(forged)


def every_letter() -> str:
    """Every letter that Python knows, lone surrogates too."""
    return "".join(map(chr, range(sys.maxunicode + 1)))
