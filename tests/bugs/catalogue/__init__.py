"""The deliberate bugs, by the part of the package that they break; `make bugs` tries them all.

Files along an event's way, then what stands beside it: `producing`, `spool`, `scripts` (of `queue/`),
`queue`, `delivering`, `connections`, `operating`, `copies`, `doors`, `console`, `top`, `measuring`,
`ground`. In each, bugs are sorted by the file that they change.
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
    scripts,
    spool,
    top,
)

#: Each file, and the beginnings of the paths whose bugs it holds; a path is in the first that fits.
_FILES: dict[ModuleType, tuple[str, ...]] = {
    producing: ("producing/", "sdk/"),
    spool: ("spool/",),
    scripts: ("queue/lua/",),
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
}
BUGS: tuple[Bug, ...] = tuple(bug for file in _FILES for bug in file.BUGS)


def file_of(bug: Bug) -> ModuleType:
    """The file that a bug belongs into."""
    return next(file for file, paths in _FILES.items() if bug.file.startswith(paths))
