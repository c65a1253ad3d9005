"""Who works, by which settings, and what operators did: the pages that are of no single queue.

Reads only: nothing to lose.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec

from vwo_celery.console.pages.framing import own_version
from vwo_celery.console.pages.rendering import render
from vwo_celery.console.shared.exchange import Page
from vwo_celery.console.shared.rights import ROLES
from vwo_celery.console.shared.sources import LOOK_SECONDS
from vwo_celery.console.shared.visits import Visit
from vwo_celery.errors import SettingsError
from vwo_celery.operating.doctor.workers import start_worker
from vwo_celery.operating.looks.lanes import view_lanes
from vwo_celery.operating.looks.looking import Look
from vwo_celery.operating.looks.workers import WorkerView, differences
from vwo_celery.operating.past.audit import DOORS, changes
from vwo_celery.settings import Settings
from vwo_celery.settings.checks import describe
from vwo_celery.settings.sources import from_django, from_environment
from vwo_celery.text.amounts import read_span, span

#: Spans that the audit can be looked back, in words.
_BACK: Final[Mapping[str, str]] = {
    "1h": "hour", "1d": "day", "7d": "7 days", "30d": "30 days", "365d": "year",
}  # fmt: skip
_DEFAULT_BACK: Final = "7d"
#: Most changes that the page shows.
_MOST_CHANGES: Final = 200
#: Libraries whose releases the page tells.
_LIBRARIES: Final = ("redis", "celery", "msgspec", "jinja2", "uvicorn", "django")
#: Settings that lead somewhere; each process has its own.
_UNKNOWN: Final = "default"


# -- workers


def workers(visit: Visit) -> Page:
    """The page of the workers that listen, and of what else keeps events moving."""
    shown, found = visit.look(), visit.workers_if_known()
    lanes = visit.source.kept("lanes", LOOK_SECONDS, lambda: view_lanes(visit.fleet))
    title = "Workers: not known" if found is None else f"Workers: {len(found)}"
    document = {
        "title": title,
        "level": "ok" if found else "problem",
        "workers": found,
        "differences": differences(found or ()),
        "lanes": None if lanes.lanes_total is None else lanes,
        "sweeps": _sweeps(shown),
        "wakeups": shown.wakeups,
        "relays": shown.relays or (),
        "silent": _silent(shown.last_heard_ms, shown.now_ms),
        "start": start_worker(),
        "now_ms": shown.now_ms,
    }
    return Page(title, render(visit, "workers.html", document), here="workers")


def _sweeps(shown: Look) -> list[tuple[str, float]] | None:
    """Each runner of sweeps, with the time since its last one; None if that is not known."""
    if shown.sweeps_ms is None:
        return None
    return [(by, max(0, shown.now_ms - ms) / 1000) for by, ms in shown.sweeps_ms.items()]


def _silent(last_ms: int, now_ms: int) -> str:
    if not last_ms:
        return "none was ever heard here"
    return f"the last one was heard {span(max(0, now_ms - last_ms) / 1000)} ago"


# -- settings


class Setting(msgspec.Struct, frozen=True):
    """One setting, here and at the workers.

    Attributes:
        name: Its name.
        meaning: What it means.
        value: Its value in this process; no secret is in it.
        source: Where that was written.
        elsewhere: Values that differ from it, each with the workers that have it.
        contradicts: Whether workers that matter to one another have different values.
    """

    name: str
    meaning: str
    value: str
    source: str
    elsewhere: tuple[tuple[str, tuple[str, ...]], ...]
    contradicts: bool


def settings(visit: Visit) -> Page:
    """The page of all settings: in force here, where they were written, and what workers have."""
    found = visit.workers_if_known() or []
    rows = settings_of(visit.settings, found)
    title = "Settings"
    document = {
        "title": title,
        "level": "warn" if any(each.contradicts for each in rows) else "ok",
        "chosen": [each for each in rows if each.source != _UNKNOWN or each.elsewhere],
        "others": [each for each in rows if each.source == _UNKNOWN and not each.elsewhere],
        "contradictions": [each for each in rows if each.contradicts],
        "workers": len(found),
    }
    return Page(title, render(visit, "settings.html", document), here="settings")


def settings_of(own: Settings, found: Sequence[WorkerView]) -> list[Setting]:
    """Every setting, those of this process against those on the workers' cards."""
    sources, defaults = _sources(), dict(Settings().__rich_repr__())
    apart = {each.what for each in differences(found)}
    rows = []
    for name, value in own.__rich_repr__():
        told = _told(value)
        source = sources.get(name) or (_UNKNOWN if value == defaults[name] else "argument")
        rows.append(
            Setting(
                name, describe(name).meaning, told, source, _elsewhere(name, told, found),
                name in apart,
            )
        )  # fmt: skip
    return rows


def _sources() -> dict[str, str]:
    names = Settings.__struct_fields__
    try:
        given = {**from_environment(names), **from_django(names)}
    except SettingsError:
        return {}
    return {name: each.origin for name, each in given.items()}


def _told(value: Any) -> str:
    if isinstance(value, str):
        return value or "(empty)"
    return msgspec.json.encode(value).decode()


def _elsewhere(
    name: str, own: str, found: Sequence[WorkerView]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    values: dict[str, tuple[str, ...]] = {}
    for each in found:
        if each.card is not None and name in each.card.settings:
            value = _told(each.card.settings[name])
            values[value] = (*values.get(value, ()), each.worker)
    return tuple((value, names) for value, names in values.items() if value != own)


# -- audit


def audit(visit: Visit) -> Page:
    """The page of what operators did."""
    back = visit.field("since", _DEFAULT_BACK)
    seconds = read_span(back)
    if seconds is None:
        back, seconds = _DEFAULT_BACK, read_span(_DEFAULT_BACK)
    fleet, queues, door = visit.fleet, visit.every_field("queue"), visit.field("door")
    since_ms = max(0, fleet.now_ms() - 1000 * int(seconds or 0))
    every = changes(fleet, since_ms=since_ms, queues=[each for each in queues if each])
    found = [visit.discreet(each) for each in reversed(every) if door in ("", each.door)]
    title = "Audit"
    document = {
        "title": title,
        "changes": found[:_MOST_CHANGES],
        "more": max(0, len(found) - _MOST_CHANGES),
        "queues": [each for each in queues if each],
        "door": door,
        "doors": DOORS,
        "since": back,
        "backs": _BACK,
        "words": _BACK.get(back, back),
    }
    return Page(title, render(visit, "audit.html", document), here="audit")


# -- about


def about(visit: Visit) -> Page:
    """The page of what this console is: releases, where it looks, what it costs, and its other ways."""
    title = "About"
    document = {
        "title": title,
        "release": own_version(),
        "python": platform.python_version(),
        "libraries": [(name, found) for name in _LIBRARIES if (found := _release(name))],
        "redis": dict(visit.settings.__rich_repr__())["redis_url"],
        "namespace": visit.settings.namespace,
        "visitor": visit.visitor,
        "rights": ", ".join(sorted(right.value for right in visit.visitor.rights)),
        "roles": {
            name: ", ".join(sorted(right.value for right in rights))
            for name, rights in ROLES.items()
        },
    }
    return Page(title, render(visit, "about.html", document), here="about")


def _release(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
