"""Write the tables of docs/explanation/scaling.md: `python docs/build_scaling.py`.

The sums come from examples/scaling/fleet.py, the settings from the code; a test builds the page and
compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from page_tables import filled

from vwo_celery.settings import Settings, describe
from vwo_celery.settings.sources import environment_variable

HERE = Path(__file__).parent
PAGE = HERE / "explanation" / "scaling.md"
sys.path.insert(0, str(HERE.parent / "examples" / "scaling"))

import fleet  # noqa: E402  (an example, which is no package)

#: The loads of the table: what they are called, and what they are.
LOADS = {
    "1,000 events/s, `enqueue`": fleet.Load(1_000, hosts=4),
    "50,000, `enqueue`": fleet.Load(50_000, hosts=50),
    "50,000, `aio.enqueue`": fleet.Load(50_000, "aio.enqueue", hosts=50),
    "1,000,000, `enqueue`": fleet.Load(1_000_000, hosts=1_000),
    "1,000,000, `aio.enqueue`": fleet.Load(1_000_000, "aio.enqueue", hosts=1_000),
}
#: The settings that the page is about.
SETTINGS = (
    "shards", "max_parallel_sends", "max_queue_events", "max_queue_bytes", "when_full",
    "max_spool_bytes", "enqueue_timeout_seconds", "sweep_interval_seconds", "max_batch_age_seconds",
)  # fmt: skip


def build(page: str) -> str:
    """Return *page* with the tables between its marks made anew."""
    made = {"sums": sums_table, "figures": figures_table, "settings": settings_table}
    return filled(page, {name: table() for name, table in made.items()})


def sums_table() -> str:
    """Each sum, for each of the loads."""
    columns = [fleet.told(fleet.needs(load, fleet.Figures())) for load in LOADS.values()]
    hosts = [f"{load.hosts:,}" for load in LOADS.values()]
    rows = [("hosts of the application", *hosts)]
    rows += [(name, *(column[name] for column in columns)) for name in columns[0]]
    return _table(("", *LOADS), rows, right=len(LOADS))


def figures_table() -> str:
    """The figures that go into the sums, with their letters in the formulas."""
    figures = fleet.Figures()
    store = ", ".join(f"{value:g} by `{way}`" for way, value in figures.store.items())
    letters = {
        "s": ("µs of Redis to store an event", store),
        "D": ("µs of Redis for a batch on its way out", f"{figures.drain_batch:g}"),
        "d": ("µs of Redis for each event in it", f"{figures.drain_event:g}"),
        "w": ("µs of a worker for a batch", f"{figures.worker_batch:,.0f}"),
        "e": ("µs of a worker for each event in it", f"{figures.worker_event:g}"),
        "m": ("bytes of Redis for a byte of an event", f"{figures.redis_bytes:g}"),
        "k": ("bytes on a disk for a byte of an event", f"{figures.disk_bytes:g}"),
        "u": ("share of a core that is to be used", f"{figures.busy:g}"),
        "G": ("GB of events that one master is to hold", f"{figures.master_bytes / 1e9:g}"),
        "x": ("lanes for each that is busy", f"{figures.spare:g}"),
    }  # fmt: skip
    rows = [(f"`{letter}`", *words) for letter, words in letters.items()]
    return _table(("", "figure", "here"), rows)


def settings_table() -> str:
    """The settings that bound a fleet: default, range, variable."""
    rows = []
    for field in Settings.__struct_fields__:
        if field in SETTINGS:
            default = getattr(Settings(), field)
            shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
            rows.append(
                (f"`{field}`", f"`{environment_variable(field)}`", shown, describe(field).range)
            )
    return _table(("setting", "environment", "default", "range"), rows)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]], right: int = 0) -> str:
    marks = ["---"] * (len(heads) - right) + ["---:"] * right
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, tuple(marks), *rows))


if __name__ == "__main__":
    PAGE.write_text(build(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
