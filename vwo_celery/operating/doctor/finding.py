"""One finding of the doctor, and the three ways to make one. Pure: nothing to lose."""

from __future__ import annotations

from typing import Literal

import msgspec

from vwo_celery.operating.doctor.kinds import KINDS

State = Literal["ok", "warn", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """The result of one check: what is true and, unless all is well, what to do about it.

    Attributes:
        id: The trouble found, a key of `KINDS`; "" if all is well.
        check: The check that found it.
        state: How bad it is.
        what: What is true now.
        remedy: What to do; "" if all is well.
    """

    id: str
    check: str
    state: State
    what: str
    remedy: str = ""


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding("", check, "ok", what)


def warn(kind: str, what: str, remedy: str) -> Finding:
    """Events leave, but something deserves a look."""
    return Finding(kind, KINDS[kind].check, "warn", what, remedy)


def problem(kind: str, what: str, remedy: str) -> Finding:
    """Events do not leave, or are lost."""
    return Finding(kind, KINDS[kind].check, "problem", what, remedy)
