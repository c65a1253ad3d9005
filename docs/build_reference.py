"""Write the tables of docs/reference/settings.md from the code: `python docs/build_reference.py`.

A test builds the page and compares, so neither the page nor the code can change alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from page_tables import filled

from vwo_celery.settings import Settings, describe
from vwo_celery.settings.batch_event_data import SPELLINGS, Reading
from vwo_celery.settings.redis_options import OPTIONS
from vwo_celery.settings.sources import environment_variable
from vwo_celery.text.amounts import size

PAGE = Path(__file__).parent / "reference" / "settings.md"
_DEFAULT_SPOOL_DIR = "`$XDG_STATE_HOME/vwo-celery`, else `~/.local/state/vwo-celery`"
#: Words for those whom an option of a Redis URL concerns, by its group and whether the broker obeys.
_HOLDS = {
    ("client", True): "all",
    ("client", False): "applications, workers, commands",
    ("tls", True): "all, with `rediss…`",
    ("sentinel", False): "the Sentinels",
    ("aside", False): "nobody: set aside",
}
_UNNAMED = {"": "empty", (): "none"}


def build(page: str) -> str:
    """Return *page* with the tables between its marks made anew."""
    tables = {"settings": settings_table(), "url": url_table(), "options": options_table()}
    return filled(page, tables)


def settings_table() -> str:
    """List every setting: name, variable, default, range, unit, meaning."""
    rows = []
    for field in msgspec.structs.fields(Settings):
        told = describe(field.name)
        default = _default(field)
        name, variable = f"`{field.name}`", f"`{environment_variable(field.name)}`"
        rows.append((name, variable, default, told.range, told.unit or "—", told.meaning))
    heads = ("Setting, and key in Django", "Environment", "Default", "Range", "Unit", "Meaning")
    return _table(heads, rows)


def options_table() -> str:
    """List every option of batch_event_data with all its spellings."""
    spellings: dict[Reading, list[str]] = {}
    for spelling, reading in SPELLINGS.items():
        spellings.setdefault(reading, []).append(f"`{spelling}`")
    rows = [
        (", ".join(names), each.default, each.range, each.unit or "—", each.meaning)
        for each, names in spellings.items()
    ]
    return _table(("Option", "Default", "Range", "Unit", "Meaning"), rows)


def url_table() -> str:
    """List every option of a Redis URL, and for whom it holds."""
    rows = [
        (f"`{name}`", each.kind.range, _HOLDS[each.group, each.broker], each.meaning)
        for name, each in OPTIONS.items()
    ]
    return _table(("Option", "Values", "Holds for", "Meaning"), rows)


def _default(field: Any) -> str:
    if field.name == "spool_dir":
        return _DEFAULT_SPOOL_DIR
    if field.default in _UNNAMED:
        return _UNNAMED[field.default]
    if field.name.endswith("_bytes"):
        return f"`{field.default}` ({size(field.default)})"
    return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [heads, ["---" for _ in heads], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(build(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
