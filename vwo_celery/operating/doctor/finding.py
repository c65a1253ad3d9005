"""One finding of the doctor, and the three ways to make one. Pure: nothing to lose."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "warn", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """The result of one check: what is true and, unless all is well, what to do about it."""

    check: str
    state: State
    what: str
    remedy: str = ""


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", what)


def warn(check: str, what: str, remedy: str) -> Finding:
    """Events leave, but something deserves a look."""
    return Finding(check, "warn", what, remedy)


def problem(check: str, what: str, remedy: str) -> Finding:
    """Events do not leave, or are lost."""
    return Finding(check, "problem", what, remedy)
