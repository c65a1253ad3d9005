"""Text from outside, made safe to show: the one place that does it, for terminals, logs and JSON.

Names, reasons and events come from Redis, from VWO and from visitors. A newline in one would forge a
line of a log, an escape sequence would move an operator's cursor, and letters that turn the direction
of text around, or that nobody sees, would show a name that is not there. Pure functions, nothing to
lose.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from typing import Final

#: Letters that `str.isprintable` allows although nobody sees them: fillers, joiners and selectors
#: (Default_Ignorable_Code_Point of Unicode), and the blank pattern of Braille.
_HIDDEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def one_line(text: str) -> str:
    """Return *text* with each letter that is obeyed or not seen as its escape, such as "\\x1b".

    These are control characters, line ends of every kind, bidirectional and zero-width letters,
    spaces other than " ", lone surrogates, and what Unicode does not assign.
    """
    if _is_plain(text):
        return text
    return "".join(each if _is_plain(each) else _escape(each) for each in text)


class Indented(str):
    """Several lines, each made safe, and indented as no line of a log begins."""

    __slots__ = ()

    def __new__(cls, lines: Iterable[str]) -> Indented:
        """Put *lines* beneath one another; a line end within one is escaped."""
        return super().__new__(cls, "\n".join(f"  {one_line(line)}" for line in lines))


def traceback_lines(exc: BaseException) -> Indented:
    """Return the traceback of *exc*, indented, since its message may come from outside."""
    return Indented("".join(traceback.format_exception(exc)).rstrip("\n").split("\n"))


def json_for_terminals(document: str) -> str:
    r"""Return a JSON document of the same meaning with such letters as \uXXXX."""
    return "".join(
        each if _is_plain(each) or each == "\n" else _escape_for_json(each) for each in document
    )


class Shown(str):
    """The text and the repr of any value, each on one line; what a log line shows of it."""

    __slots__ = ("_repr",)
    _repr: str

    def __new__(cls, value: object) -> Shown:
        """Read *value*; never raises, whatever its class does."""
        try:
            text, code = str(value), repr(value)
        except Exception:
            text = code = f"an object of type {type(value).__name__}"
        shown = super().__new__(cls, one_line(text))
        shown._repr = one_line(code)
        return shown

    def __repr__(self) -> str:
        return self._repr


def _is_plain(text: str) -> bool:
    return text.isprintable() and _HIDDEN.search(text) is None


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _escape_for_json(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
