"""One question that the API answers, as data: its path, what it may be told, what it answers with.

The OpenAPI document and the reference page are made of these. Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vwo_celery.console.shared.exchange import Response, json_response
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.rights import Right
from vwo_celery.console.shared.routes import Route

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit

#: Where the API stands.
BASE: Final = "api/v1"


class Field(msgspec.Struct, frozen=True):
    """One field of a query.

    Attributes:
        name: Its name.
        meaning: What it means, and what holds where it is left out.
        many: Whether it may be given several times.
    """

    name: str
    meaning: str
    many: bool = False


class Question(msgspec.Struct, frozen=True):
    """One question.

    Attributes:
        path: Below `BASE`; words in braces are pieces of the path.
        meaning: What it answers, one sentence.
        gives: The type of the answer.
        answer: Answers it.
        fields: What its query may have.
        right: What a visitor must be allowed.
    """

    path: str
    meaning: str
    gives: Any
    answer: Callable[[Visit], Any]
    fields: tuple[Field, ...] = ()
    right: Right = Right.VIEW

    def route(self) -> Route:
        """Its place among the console's paths."""

        def answer(visit: Visit) -> Response:
            known = {each.name for each in self.fields}
            unknown = sorted(set(visit.fields) - known)
            if unknown:
                raise Refusal(
                    400, f"there is no field {unknown[0]!r} here",
                    f"known are {', '.join(sorted(known)) or 'none'}",
                )  # fmt: skip
            return json_response(self.answer(visit))

        return Route(f"{BASE}/{self.path}", answer, self.right)


def number_of(visit: Visit, name: str, default: int, most: int) -> int:
    """A field that is a whole number from 1 to *most*.

    Raises:
        Refusal: It is none.
    """
    text = visit.field(name, str(default))
    is_short = len(text) <= len(str(most))
    if not is_short or not text.isdecimal() or not 1 <= int(text) <= most:
        raise Refusal(400, f"{name} must be a whole number from 1 to {most:,}; {text!r} was given")
    return int(text)
