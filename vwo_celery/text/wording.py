"""Values from outside in errors and log lines, shortened, whatever they are.

Pure functions, nothing to lose.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Iterable
from difflib import get_close_matches


def shown(value: object) -> str:
    """Return a short repr of any value; never raises, whatever the value's class does."""
    try:
        return reprlib.repr(value)
    except Exception:
        return f"an object of type {type(value).__name__}"


def install_extra(name: str) -> str:
    """Spell how one of our extras is installed, as long as PyPI does not have this package."""
    return f"pip install '.[{name}]' in a checkout (PyPI does not have this package yet)"


def how_to_start(program: str) -> str:
    """Spell how a "worker" or "beat" is started; in a Django project, by the project's own Celery app.

    Our ready app reads no settings of Django, so in a project it would look at another Redis.
    """
    conf = sys.modules.get("django.conf")
    if conf is not None and conf.settings.configured:
        return f"start one: celery -A PROJECT {program}, PROJECT being the package with your Celery app"
    return f"start one: celery -A vwo_celery.celery.app {program}"


def page(path: str) -> str:
    """Spell where a page of the documentation is: an installed package has none of them."""
    return f"{path} of vwo-celery's source"


def nearest(name: object, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" if one of *known* is close to *name*, else ""."""
    matches = get_close_matches(name, list(known), n=1) if isinstance(name, str) else []
    return f" (did you mean {matches[0]!r}?)" if matches else ""
