"""The places where a setting may be written: an argument, Django's settings, the environment.

Nothing to lose. Reads `os.environ` and, in a process that runs Django, its settings.
Checks names; `settings` checks values.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from vwo_celery.errors import SettingsError
from vwo_celery.settings.batch_event_data import SPELLINGS
from vwo_celery.text.wording import nearest, shown

ENVIRONMENT_PREFIX = "VWO_CELERY_"
DJANGO_SETTING = "VWO_CELERY"
#: The one setting whose environment variable may be empty: no spool.
_MAY_BE_EMPTY = "spool_dir"
#: How like a setting's name a variable's must be to be a mistake: a letter or two, no word, differ.
_NEARLY = 0.85


class Given(NamedTuple):
    """A value, where it was written, and whether it is text that still has to be converted."""

    value: Any
    origin: str = "argument"
    text: bool = False


def environment_variable(name: str) -> str:
    """Name of a setting's environment variable."""
    return ENVIRONMENT_PREFIX + name.upper()


def from_environment(names: Collection[str]) -> dict[str, Given]:
    """Read the settings in VWO_CELERY_… variables; an empty one counts as not set."""
    given = {}
    for name in names:
        variable = environment_variable(name)
        text = os.environ.get(variable, "").strip()
        if text or (name == _MAY_BE_EMPTY and variable in os.environ):
            given[name] = Given(text, f"environment variable {variable}", text=True)
    return given


def mistyped_variables(names: Collection[str]) -> dict[str, str]:
    """The set VWO_CELERY_… variables that are no setting, each with the one whose name it nearly has.

    Others are left alone: a platform makes variables of its own of our services' names, and another
    release may know more.
    """
    near = {}
    for variable in os.environ:
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if variable.startswith(ENVIRONMENT_PREFIX) and name not in names:
            for meant in get_close_matches(name, names, n=1, cutoff=_NEARLY):
                near[variable] = environment_variable(meant)
    return near


def from_django(names: Collection[str]) -> dict[str, Given]:
    """Read the settings in Django's VWO_CELERY; none if Django is not loaded and configured.

    Raises:
        SettingsError: VWO_CELERY is no dict, has an unknown name, or a name in both cases.
    """
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return {}
    return from_options(getattr(conf.settings, DJANGO_SETTING, None), names)


def from_options(options: object, names: Collection[str]) -> dict[str, Given]:
    """Read the settings in *options*, the value of Django's VWO_CELERY; None counts as not given.

    Raises:
        SettingsError: *options* is no dict, has an unknown name, or a name in both cases.
    """
    if not isinstance(options, Mapping | None):
        raise SettingsError(
            f"{DJANGO_SETTING} in Django's settings must be a dict; "
            f"an object of type {type(options).__name__} was given"
        )
    given: dict[str, Given] = {}
    for key, value in (options or {}).items():
        origin = f"{DJANGO_SETTING}[{shown(key)}] of Django's settings"
        name = _known(key.lower() if isinstance(key, str) and key.isupper() else key, origin, names)
        if name in given:
            raise SettingsError(f"{name} is given twice, in upper and in lower case ({origin})")
        given[name] = Given(value, origin)
    return {name: each for name, each in given.items() if each.value is not None}


def from_arguments(arguments: Mapping[str, Any], names: Collection[str]) -> dict[str, Given]:
    """Read the settings among *arguments*; None counts as not given.

    Raises:
        SettingsError: No setting has the name of an argument.
    """
    return {
        _known(name, Given(value).origin, names): Given(value)
        for name, value in arguments.items()
        if value is not None
    }


def _known(name: Any, origin: str, names: Collection[str]) -> str:
    if isinstance(name, str) and name in names:
        return name
    if name in SPELLINGS:
        meant = ", it is an option of batch_event_data of connect, attach and init"
    else:
        meant = nearest(name, names)
    raise SettingsError(f"there is no setting {shown(name)}{meant}; {origin}")
