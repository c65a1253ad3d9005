"""From a page's document to HTML: templates, and how they spell numbers, times and text from outside.

Text from outside is made safe twice: each letter that would be obeyed or not seen becomes its escape,
and then HTML's own letters are escaped. No template can forget either. Nothing to lose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from vwo_celery.console.charts.drawing import draw
from vwo_celery.console.charts.small import meter, spark
from vwo_celery.console.charts.spelling import moment_of, short, spell
from vwo_celery.console.charts.tables import table_of
from vwo_celery.console.shared.rights import Right
from vwo_celery.console.shared.visits import Visit
from vwo_celery.text.amounts import count, size, span
from vwo_celery.text.lines import one_line


def render(visit: Visit | None, template: str, document: Mapping[str, Any]) -> str:
    """Return what a template makes of a document.

    Args:
        visit: The request, whose rights decide what is drawn; None if nobody may come in.
        template: The template's name, without the folder.
        document: What the template names, besides what every template may.
    """
    root = visit.root if visit else "./"
    return (
        _environment()
        .get_template(template)
        .render(
            {
                "root": root,
                "link": partial(link, root),
                "address_of": partial(address_of, root),
                "with_links": partial(with_links, root=root, may=visit.may if visit else _nothing),
                "hidden": visit.request.form_fields if visit else (),
                "may_peek": visit is not None and visit.may(Right.PEEK),
                "may_operate": visit is not None and visit.may(Right.OPERATE),
                "may_purge": visit is not None and visit.may(Right.PURGE),
                **document,
            }
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vwo_celery.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_safe,
    )
    environment.filters.update(_FILTERS)
    environment.globals.update(_GLOBALS)
    return environment


def _safe(value: Any) -> Any:
    """A value as it may be shown; what is HTML already stays as it is."""
    return value if hasattr(value, "__html__") else one_line(str(value))


def number(value: float) -> str:
    """Spell a number of events or batches."""
    return f"{value:,.0f}"


def link(root: str, page: str, /, **query: object) -> str:
    """Return the address of a page, relative to another.

    Args:
        root: What leads from that one to the first page.
        page: Its path.
        query: Its query; a field without a value is left out.
    """
    given = {name: value for name, value in query.items() if value not in (None, "", ())}
    return f"{root}{page}{'?' + urlencode(given, doseq=True) if given else ''}"


def address_of(root: str, queue: str) -> str:
    """Return the address of a queue's page; a name that no path can hold stands in the query."""
    if "/" in queue or queue in ("", ".", ".."):
        return link(root, "queue", name=queue)
    return f"{root}queues/{quote(queue, safe='')}"


def moment(at_ms: int) -> Markup:
    """Return a moment: by this host's clock, and for programs with its zone."""
    at = moment_of(at_ms)
    machine = datetime.fromtimestamp(at_ms / 1000, timezone.utc).isoformat(timespec="seconds")
    today = at.date() == datetime.now().astimezone().date()
    shown = f"{at:%H:%M:%S}" if today else f"{at:%Y-%m-%d %H:%M}"
    return Markup('<time datetime="{}">{}</time>').format(machine, shown)


def with_links(
    text: str,
    queues: Mapping[str, str],
    root: str = "./",
    may: Callable[[Right], bool] = lambda _: False,
) -> Markup:
    """Return text in which names of queues lead to their pages, and commands to what does the same here.

    Args:
        text: Words from outside.
        queues: The address of each queue's page, by its name.
        root: What leads from this page to the first one.
        may: Whether the reader has a right; a command for which they have none stays as it is.
    """
    told, at = [], 0
    for found in _COMMANDS.finditer(text := one_line(text)):
        told += [_to_queues(text[at : found.start()], queues), _to_page(found, root, may)]
        at = found.end()
    return Markup("").join([*told, _to_queues(text[at:], queues)])


def _to_page(command: re.Match[str], root: str, may: Callable[[Right], bool]) -> Markup:
    """Where the console does or shows what a command does; words alone where that names no queue."""
    words, page, right = _PAGES[command[1] or command[3]]
    if not may(right):
        return escape(command[0])
    if command[2] == _ANY_QUEUE:
        return escape(f"{words} on its page")
    return Markup('<a href="{}">{}</a>').format(link(root, page, queues=command[2]), words)


def _to_queues(text: str, queues: Mapping[str, str]) -> Markup:
    shown = {one_line(name): address for name, address in queues.items() if name}
    if not shown:
        return escape(text)
    # All at once: a name may be part of another, or of a link's own letters.
    names = "|".join(map(re.escape, sorted(shown, key=len, reverse=True)))
    pieces = re.split(f"({names})", text)
    return Markup("").join(
        Markup('<a href="{}">{}</a>').format(shown[piece], piece) if number % 2 else piece
        for number, piece in enumerate(pieces)
    )


def _nothing(_: Right) -> bool:
    """What somebody may do who may not come in."""
    return False


#: What commands in a remedy are here: words, the page, and the right that it takes.
_PAGES: Final = {
    "resume": ("Resume…", "ask/resume", Right.OPERATE),
    "retry": ("Retry…", "ask/retry", Right.OPERATE),
    "dead list": ("Dead letters", "dead", Right.VIEW),
    "dead redrive": ("Redrive…", "ask/redrive", Right.OPERATE),
    "dead purge": ("Purge…", "ask/purge", Right.PURGE),
    "workers": ("Workers", "workers", Right.VIEW),
    "status": ("Overview", "", Right.VIEW),
    "queues": ("Overview", "", Right.VIEW),
}
_ANY_QUEUE: Final = "QUEUE"
_COMMANDS: Final = re.compile(
    r"vwo-celery (?:(resume|retry) --queue ([^\s;,]+)"
    r"|(dead list|dead redrive|dead purge|workers|status|queues)(?! (?:--|forget)))"
)

_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "number": number,
    "short": short,
    "span": span,
    "size": size,
    "moment": moment,
}
_GLOBALS: Final[dict[str, Any]] = {
    "count": count,
    "draw": draw,
    "meter": meter,
    "spark": spark,
    "spell": spell,
    "table_of": table_of,
}
