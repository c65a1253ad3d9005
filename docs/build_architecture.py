"""Draws docs/explanation/architecture.svg, and the table of its page, from the imports:
`python docs/build_architecture.py`.

The layers stand here, where they are drawn; tests/architecture/test_layers.py holds every import
against them, and compares picture and page with what this makes of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from layered_picture import draw, lay_out
from page_tables import filled

import vwo_celery

PAGE = Path(__file__).parent / "explanation" / "architecture.md"
PICTURE = PAGE.with_suffix(".svg")
PACKAGE = Path(vwo_celery.__file__).parent

#: From the top down. A part imports only from layers below its own; parts of one layer do not know
#: each other. A part is a package, or a module at the root; "" is the root itself.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("apps",),
    ("django", "demo", "__main__"),
    ("cli", "testing"),
    ("", "aio", "tasks", "console", "otel"),
    ("celery", "sdk", "relay", "metrics", "top"),
    ("producing", "delivering", "operating", "copies"),
    ("spool",),
    ("queue",),
    ("connections", "event_kinds", "signals"),
    ("settings", "sending"),
    ("destinations", "events", "tracing"),
    ("errors", "receipts", "logs", "forks", "threads"),
    ("text", "clocks"),
)
#: Parts that nearly every other imports; their arrows would hide all others in the picture.
_GROUND_ROWS = 2
GROUND = frozenset(part for row in LAYERS[-_GROUND_ROWS:] for part in row)


def modules() -> dict[str, Path]:
    """Dotted name within the package ("" is the package itself) to file."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


MODULES = modules()


def part_of(module: str) -> str:
    """The part that a module belongs to: the first word of its name within the package."""
    return module.partition(".")[0]


def layer_of(module: str) -> int:
    """The row of a module's part in LAYERS, 0 on top; -1 if none was assigned."""
    return next((i for i, row in enumerate(LAYERS) if part_of(module) in row), -1)


def imports(module: str, path: Path, *, for_types: bool = True) -> Iterator[str]:
    """Every absolute name that a file imports, wherever in the file.

    Args:
        module: Its name within the package.
        path: The file.
        for_types: Include imports for the type checker alone, which load nothing.
    """
    tree = ast.parse(path.read_text("utf-8"))
    if not for_types:
        _leave_types_out(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node, package=path.name == "__init__.py")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _leave_types_out(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []


def _base(module: str, node: ast.ImportFrom, *, package: bool) -> str:
    """The absolute name of what `from … import` names first."""
    if not node.level:
        return node.module or ""
    parents = ["vwo_celery", *module.split(".")][: None if package else -1]
    kept = parents[: len(parents) - node.level + 1]
    return ".".join([*(part for part in kept if part), *([node.module] if node.module else [])])


def own_module(name: str) -> str | None:
    """The module of ours that an imported name means; None if it is not ours."""
    if name != "vwo_celery" and not name.startswith("vwo_celery."):
        return None
    inner = name.removeprefix("vwo_celery").removeprefix(".")
    while inner and inner not in MODULES:
        inner = inner.rpartition(".")[0]
    return inner


def arrows() -> dict[str, set[str]]:
    """For each part, the parts that it imports."""
    found: dict[str, set[str]] = {part: set() for row in LAYERS for part in row}
    for module, path in MODULES.items():
        own = {own_module(name) for name in imports(module, path)}
        here = part_of(module)
        found[here] |= {part_of(each) for each in own if each is not None} - {here}
    return found


def without_shortcuts(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Only the arrows that no longer way through other parts implies."""
    reached: dict[str, set[str]] = {}
    for part in (part for row in reversed(LAYERS) for part in row):
        reached[part] = found[part].union(*(reached[each] for each in found[part]))
    return {
        part: {each for each in targets if not any(each in reached[t] for t in targets)}
        for part, targets in found.items()
    }


def picture() -> str:
    """The parts in their layers, as an SVG; without the ground, and arrows that a longer way implies."""
    rows = LAYERS[:-_GROUND_ROWS]
    found = without_shortcuts(arrows())
    drawn = {part: found[part] - GROUND for row in rows for part in row}
    names = {part: name_of(part) for part in drawn}
    return draw(
        lay_out(rows, drawn), "The parts of vwo_celery, and which of them import which", names
    )


def table() -> str:
    """Every part, from the top down: its purpose and what it imports."""
    found = arrows()
    order = [part for row in LAYERS for part in row]
    lines = ["| layer | part | is | imports |", "|---|---|---|---|"]
    for i, row in enumerate(LAYERS):
        for part in row:
            names = [name_of(each) for each in sorted(found[part] - GROUND, key=order.index)]
            cells = (
                str(len(LAYERS) - i),
                f"`{name_of(part)}`",
                purpose(part),
                ", ".join(names) or "–",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def name_of(part: str) -> str:
    """A part as people write it: packages end in a slash."""
    if not part:
        return "vwo_celery"
    return f"{part}/" if MODULES[part].name == "__init__.py" else part


def purpose(part: str) -> str:
    """The first sentence of a part's docstring."""
    text = ast.get_docstring(ast.parse(MODULES[part].read_text("utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def build(page: str) -> str:
    """*page* with the table made anew."""
    return filled(page, {"made from the imports": table()})


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(build(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
