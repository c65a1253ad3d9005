"""Write docs/reference/python.md from docstrings and signatures: `python docs/build_python.py`.

A test builds the page and compares, so neither the page nor the code can change alone.
"""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from page_tables import filled

from vwo_celery import BatchEventData, SettingsArguments

PAGE = Path(__file__).parent / "reference" / "python.md"
WIDTH = 100
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):\n", re.MULTILINE)
_ENTRY = re.compile(r"^(?=\S)", re.MULTILINE)
_TITLES = {"Args": "Takes", "Attributes": "Has", "Returns": "Returns", "Yields": "Yields",
           "Raises": "Raises"}  # fmt: skip
#: Classes whose objects an application is given, besides those whose docstring says who makes them.
_GIVEN = ("BatchReport", "Settings")
_CODE = re.compile(r"(`[^`]*`)")
#: Names that a page of their own describes.
ELSEWHERE = {
    "BatchEventData": "the batch options, in the spelling of any of VWO's SDKs: "
    "[settings](settings.md#batch-options)",
    "SettingsArguments": "the keyword arguments of every function that takes settings: "
    "[settings](settings.md)",
}


class Room(NamedTuple):
    """A module that applications import from.

    Attributes:
        module: Its name.
        title: The heading of its part of the page.
        told: What an application finds in it, a sentence or two.
        names: Its public names in the order of the page; none for all of `__all__`.
    """

    module: str
    title: str
    told: str
    names: tuple[str, ...] = ()


ROOMS = (
    Room(
        "vwo_celery", "Applications and workers",
        "All that most programs need. Importing it connects to nothing, and imports neither Celery "
        "nor an HTTP library.",
        ("attach", "init", "queue_of", "shadow", "connect", "Destination", "Queue", "Receipt",
         "FlushResult", "DrainResult", "setup", "health", "Settings", "SettingsArguments",
         "BatchEventData", "VwoCeleryError"),
    ),
    Room(
        "vwo_celery.aio", "asyncio",
        "The same queue for coroutines ([FastAPI](../how-to/fastapi.md)).", ("connect", "AioQueue"),
    ),
    Room(
        "vwo_celery.event_kinds", "Events without an SDK",
        "Programs without an SDK make their events with these; the structs that they return, and "
        "those of the legacy SDK, stand in the same module.",
        ("Visitor", "custom_event", "variation_shown", "attributes_set", "visitor_id",
         "dimension_tags"),
    ),
    Room(
        "vwo_celery.signals", "Signals",
        "What a worker tells of each batch. The signals themselves are in a "
        "[table](signals.md).", ("BatchReport",),
    ),
    Room(
        "vwo_celery.sdk", "SDKs that are made by a builder",
        "For applications with a `VWOBuilder` of their own "
        "([attach an SDK](../how-to/attach-an-sdk.md)).", ("BuilderMixin", "builder"),
    ),
    Room(
        "vwo_celery.django", "Django",
        "With `vwo_celery.django` in INSTALLED_APPS ([Django](../how-to/django.md)).",
    ),
    Room(
        "vwo_celery.django.admin", "Django's admin",
        "For a project with admin sites of its own.", ("register",),
    ),
    Room(
        "vwo_celery.relay", "The relay",
        "For SDKs of other languages, beside your own application "
        "([relay](../how-to/relay.md)).", ("relay_app", "beside", "Relay", "Access", "counts"),
    ),
    Room(
        "vwo_celery.console", "The console",
        "Mounted in your own application ([console](../how-to/console.md)). The permissions are its "
        "rights; programs use its [HTTP API](api.md).",
        ("wsgi", "asgi", "guarded", "Visitor", "Request"),
    ),
    Room(
        "vwo_celery.metrics", "Metrics for Prometheus",
        "Each metric is in a [table](metrics.md).", ("Collector", "exposition", "instrument"),
    ),
    Room("vwo_celery.otel", "Metrics for OpenTelemetry", "The same metrics.", ("observe",)),
    Room(
        "vwo_celery.testing", "Tests of your application",
        "pytest has fixtures of the same things ([test your code](../how-to/test-your-code.md)).",
        ("capture_events", "Capture", "CapturedEvents", "CapturedEvent", "Drop", "inline_delivery",
         "InlineDelivery", "Deliveries", "Standin", "Fault", "Request", "RedisServer",
         "RedisServerMissing", "RedisServerFailed", "wait_for", "free_port"),
    ),
    Room(
        "vwo_celery.errors", "Errors",
        "Every error of the package. An `enqueue` raises none but `QueueFull`, and that only if you "
        "ask for it.",
        ("VwoCeleryError", "SettingsError", "DestinationError", "FilterError", "EventError",
         "QueueUnavailable", "QueueFull", "SpoolUnavailable", "SpoolFull", "QueueUnknown",
         "QueueUnreadable", "MoveRefused", "JobUnknown", "HostRefused", "CallbackRefused",
         "SdkError"),
    ),
)  # fmt: skip


def build(page: str) -> str:
    """Return *page* with what stands between its marks made anew."""
    return filled(page, {"contents": _contents(), "rooms": "\n".join(map(_room, ROOMS)) + "\n"})


def _contents() -> str:
    lines = ["| import from | for |", "|---|---|"]
    for room in ROOMS:
        anchor = re.sub(r"[^\w -]", "", room.title.lower()).replace(" ", "-")
        lines.append(f"| `{room.module}` | [{room.title}](#{anchor}) |")
    return "\n".join(lines) + "\n"


def _room(room: Room) -> str:
    module = importlib.import_module(room.module)
    parts = [f"\n## {room.title}\n", *_wrapped(f"`{room.module}`. {room.told}")]
    for name in room.names or module.__all__:
        parts += ["", *_thing(name, getattr(module, name), room)]
    return "\n".join(parts)


def _thing(name: str, thing: Any, room: Room) -> Iterator[str]:
    """The part of one name: heading, signature, what its docstring says, its methods."""
    if name in ELSEWHERE and room.module == "vwo_celery":
        yield from (f"### {name}", "", *_wrapped(f"A type: {ELSEWHERE[name]}."))
        return
    yield f"### {name}"
    yield from _described(name, thing)
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for each, method in _methods(thing):
            yield from ("", f"#### {name}.{each}", *_described(f"{name}.{each}", method))


def _methods(thing: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class and of our own classes above it."""
    ours = [base for base in thing.__mro__ if base.__module__.startswith("vwo_celery")]
    defined = {name: found for base in reversed(ours) for name, found in vars(base).items()}
    for name, found in defined.items():
        called = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        if isinstance(found, property | cached_property):
            called = found
        if not name.startswith("_") and (inspect.isfunction(called) or called is found) and (
            inspect.isroutine(called) or isinstance(called, property | cached_property)
        ):  # fmt: skip
            yield name, called


def _described(name: str, thing: Any) -> Iterator[str]:
    """The signature as a block of code, and the docstring as Markdown."""
    yield from ("", "```py", *_signature(name, thing), "```")
    for told in _paragraphs(_doc(thing)):
        yield from ("", *told)


def _doc(thing: Any) -> str:
    """The docstring, without the settings that `help` shows in it."""
    text = inspect.cleandoc(thing.__doc__ or "")
    for described in (SettingsArguments, BatchEventData):
        text = text.replace(inspect.cleandoc(described.__doc__ or ""), "")
    return text.replace("listed below", "see [settings](settings.md)").strip()


def _signature(name: str, thing: Any) -> Iterator[str]:
    if isinstance(thing, property | cached_property):
        function: Any = thing.fget if isinstance(thing, property) else thing.func
        yield f"{name}: {function.__annotations__.get('return', 'Any')}"
        return
    if inspect.isclass(thing) and not _is_made_by_users(thing):
        bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        return
    keyword = "class " if inspect.isclass(thing) else ""
    if inspect.iscoroutinefunction(thing):
        keyword = "await "
    taken = list(_fields(thing) if _is_struct(thing) else _parameters(thing))
    gives = "" if inspect.isclass(thing) else f" -> {_gives(thing)}"
    line = f"{keyword}{name}({', '.join(taken)}){gives}"
    if len(line) <= WIDTH:
        yield line
    else:
        yield from (f"{keyword}{name}(", *(f"    {each}," for each in taken), f"){gives}")


def _is_made_by_users(thing: type) -> bool:
    """Whether the class is called by applications, rather than met by them."""
    given = thing.__name__ in _GIVEN or "Made by" in (thing.__doc__ or "")
    if given or issubclass(thing, BaseException):
        return False
    return _is_struct(thing) or "__init__" in vars(thing)


def _gives(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__annotations__", {}).get("return", "None"))


def _is_struct(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, msgspec.Struct)


def _fields(struct: type) -> Iterator[str]:
    kinds = {name: kind for base in reversed(struct.__mro__)
             for name, kind in vars(base).get("__annotations__", {}).items()}  # fmt: skip
    for field in msgspec.structs.fields(struct):
        default = f" = {_spelled(field.default)}" if field.default is not msgspec.NODEFAULT else ""
        yield f"{field.name}: {kinds.get(field.name, 'Any')}{default or _made(field)}"


def _made(field: Any) -> str:
    made = field.default_factory
    return "" if made is msgspec.NODEFAULT else f" = {_spelled(made())}"


def _parameters(thing: Any) -> Iterator[str]:
    """The parameters as they are written, without `self`, and the settings as one."""
    named = inspect.signature(thing.__init__ if inspect.isclass(thing) else thing).parameters
    starred = False
    for each in named.values():
        if each.name in ("self", "cls") or each.name.startswith("_"):
            continue
        if each.kind is each.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        starred = starred or stars == "*"
        kind = "" if each.annotation is each.empty else f": {each.annotation}"
        default = "" if each.default is each.empty else f" = {_spelled(each.default)}"
        yield f"{stars}{each.name}{kind}{default}"


def _spelled(value: Any) -> str:
    if value is msgspec.UNSET:
        return "UNSET"
    if callable(value) or not isinstance(
        value, str | int | float | tuple | list | dict | type(None)
    ):
        return "…"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _paragraphs(doc: str) -> Iterator[list[str]]:
    """The docstring's paragraphs, its sections as lists."""
    first, *sections = _SECTION.split(doc)
    yield from _prose(first)
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        listed, _, after = text.partition("\n\n") if "\n\n" in text else (text, "", "")
        if title in ("Returns", "Yields"):
            yield _wrapped(f"{_TITLES[title]}: {' '.join(listed.split())}")
        else:
            yield [f"{_TITLES[title]}:"]
            yield [line for entry in _ENTRY.split(textwrap.dedent(listed)) if entry.strip()
                   for line in _listed(entry)]  # fmt: skip
        yield from _prose(textwrap.dedent(after))


def _listed(entry: str) -> list[str]:
    name, _, told = entry.partition(":")
    return _wrapped(f"`{name.strip()}`: {' '.join(told.split())}", first="- ", rest="  ")


def _prose(text: str) -> Iterator[list[str]]:
    for each in re.split(r"\n\s*\n", text.strip("\n")):
        if each.startswith("    "):
            yield ["```python", *textwrap.dedent(each).splitlines(), "```"]
        elif each.strip():
            yield _wrapped(" ".join(each.split()))


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    """Lines of Markdown; what would be a tag outside of code is escaped."""
    pieces = _CODE.split(text)
    text = "".join(each if each.startswith("`") else each.replace("<", "\\<") for each in pieces)
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(build(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
