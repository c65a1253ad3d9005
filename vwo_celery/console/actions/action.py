"""One change that the console offers, and how its order is read from a form or from JSON.

Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, get_origin, get_type_hints

import msgspec

from vwo_celery.console.shared.rights import Right

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit


class Action(msgspec.Struct, frozen=True):
    """One change.

    Attributes:
        name: Its name: the last piece of its path.
        meaning: What it does, one sentence.
        right: What a visitor must be allowed.
        takes: The struct that is its order; each field with a default may be left out.
        gives: The type of its document: what was changed.
        act: Does it, and returns its document; or the response, where that is no JSON.
        kind: The content type of what it gives.
    """

    name: str
    meaning: str
    right: Right
    takes: type[msgspec.Struct]
    gives: Any
    act: Callable[[Visit, Any], Any]
    kind: str = "application/json"

    def order_of_form(self, form: dict[str, list[str]]) -> Any:
        """The order that a form's fields make; an empty field of a number counts as left out.

        Raises:
            msgspec.ValidationError: A field is missing, unknown or wrong.
        """
        hints = get_type_hints(self.takes)
        many = {name for name, hint in hints.items() if get_origin(hint) is tuple}
        plain: dict[str, Any] = {
            name: values if name in many else values[-1]
            for name, values in form.items()
            if name in many or hints.get(name) is str or values[-1]
        }
        return msgspec.convert(plain, self.takes, strict=False)

    def order_of_json(self, body: bytes) -> Any:
        """The order that a JSON document is; an empty body is an empty document.

        Raises:
            msgspec.DecodeError: It is no JSON, or a field is missing, unknown or wrong.
        """
        try:
            return msgspec.json.decode(body or b"{}", type=self.takes)
        except UnicodeDecodeError as exc:
            raise msgspec.DecodeError("it is no UTF-8") from exc


class Change(NamedTuple):
    """One change that somebody made, for whoever keeps a history of their own.

    Attributes:
        visit: The request.
        action: What was done.
        order: How, of `action.takes`.
        document: What came of it; None if Redis went away, and some of it may be done.
        error: Why it is not all done; "" if it is.
    """

    visit: Visit
    action: Action
    order: Any
    document: Any = None
    error: str = ""


def tell_nobody(_: Change) -> None:
    """Keep no history besides the audit."""
