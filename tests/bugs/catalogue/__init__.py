"""The deliberate bugs, by the part of the package that they break; `make bugs` tries them all.

Files along an event's way, then what stands beside it: `producing`, `spool`, the scripts of `queue/`
in `scripts_of_pushes`, `scripts_of_batches` and `scripts_of_fleet`, then `queue`, `delivering`,
`connections`, `operating`, `copies`, `doors`, `console`, `top`, `measuring`, `ground`. In each, bugs
are sorted by the file that they change.
"""

from __future__ import annotations

from types import ModuleType

from bugs.bug import Bug
from bugs.catalogue import (
    connections,
    console,
    copies,
    delivering,
    doors,
    ground,
    measuring,
    operating,
    producing,
    queue,
    scripts_of_batches,
    scripts_of_fleet,
    scripts_of_pushes,
    spool,
    top,
)


def _scripts(*names: str) -> tuple[str, ...]:
    return tuple(f"queue/lua/{name}.lua" for name in names)


#: Each file, and the beginnings of the paths whose bugs it holds; a path is in the first that fits.
_FILES: dict[ModuleType, tuple[str, ...]] = {
    producing: ("producing/", "sdk/"),
    spool: ("spool/",),
    scripts_of_pushes: _scripts(
        "append", "due", "enqueue", "gate", "limit", "make_room", "register", "report", "shadow",
        "sweep", "shared/contexts", "shared/kept_contexts", "shared/new_contexts",
        "shared/reserve", "shared/taken", "shared/unreserve",
    ),
    scripts_of_batches: _scripts(
        "ack", "arrive", "claim", "dead_letter", "decline", "depart", "drop", "drop_open", "extend",
        "flush", "forgo", "hand_back", "pick_out", "purge", "redrive", "release", "set_aside", "split",
        "shared/in_index", "shared/indexes", "shared/info", "shared/ranges", "shared/tally",
    ),
    scripts_of_fleet: ("queue/lua/",),
    queue: ("queue/",),
    delivering: ("delivering/",),
    connections: ("connections/",),
    operating: ("operating/",),
    copies: ("copies/",),
    doors: ("celery/", "cli/", "django/", "demo/", "relay/"),
    console: ("console/",),
    top: ("top/",),
    measuring: ("metrics/", "otel.py"),
    ground: ("",),
}  # fmt: skip
BUGS: tuple[Bug, ...] = tuple(bug for file in _FILES for bug in file.BUGS)


def file_of(bug: Bug) -> ModuleType:
    """The file that a bug belongs into."""
    return next(file for file, paths in _FILES.items() if bug.file.startswith(paths))
