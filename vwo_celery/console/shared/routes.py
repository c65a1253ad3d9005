"""Which path is answered by whom, as data: pages, actions and the API are lists of routes.

Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from vwo_celery.console.shared.exchange import Page, Response
from vwo_celery.console.shared.rights import Right

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit


class Route(msgspec.Struct, frozen=True):
    """One path of the console, answered for GET and HEAD.

    Attributes:
        path: Without its first slash, such as "workers" or "api/v1/queues/{queue}/history"; a word in
            braces stands for one piece of the path, which `Visit.pieces` has.
        answer: Answers a visit. What it raises of our errors becomes a page, or an answer in JSON.
        right: What a visitor must be allowed.
    """

    path: str
    answer: Callable[[Visit], Page | Response]
    right: Right = Right.VIEW


def find(routes: Iterable[Route], path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a path, with the pieces for the words in braces; None if there is none."""
    for route in routes:
        pieces = _match(route.path.split("/"), path.split("/"))
        if pieces is not None:
            return route, pieces
    return None


def _match(pattern: list[str], path: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(path):
        return None
    pieces = {}
    for wanted, given in zip(pattern, path, strict=True):
        if wanted.startswith("{") and given:
            pieces[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return pieces
