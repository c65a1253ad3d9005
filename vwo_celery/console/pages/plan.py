"""What an action would do, as data: sentences, and the fields of its form. Pure: nothing to lose."""

from __future__ import annotations

import msgspec


class Field(msgspec.Struct, frozen=True):
    """A field that somebody may fill in."""

    name: str
    label: str
    hint: str = ""
    number: bool = False


class Plan(msgspec.Struct, frozen=True):
    """What an action would do.

    Attributes:
        title: The question.
        lines: What would happen, one sentence each.
        button: The word on the button that does it.
        hidden: Fields that the form holds, which nobody fills in.
        fields: Fields to fill in.
        doubts: What speaks against it, or what it would not do.
        back: The page to go back to.
        possible: Whether there is anything to do.
        for_good: Whether nothing brings back what it drops.
    """

    title: str
    lines: tuple[str, ...]
    button: str
    hidden: tuple[tuple[str, str], ...] = ()
    fields: tuple[Field, ...] = ()
    doubts: tuple[str, ...] = ()
    back: str = ""
    possible: bool = True
    for_good: bool = False
