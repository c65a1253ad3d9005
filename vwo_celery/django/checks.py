"""System checks: every mistake in VWO_CELERY and in VWO_CELERY_… variables, each with its remedy.

Run by `manage.py check`, `runserver`, `migrate` and before tests. No I/O:
`manage.py vwo_celery doctor` checks what only Redis or the broker can tell.

vwo_celery.E001  VWO_CELERY is no dict
vwo_celery.E002  a key that is no setting, or a setting that is given twice
vwo_celery.E003  a value of the wrong type or out of its range
vwo_celery.E004  settings that contradict each other
vwo_celery.E007  "vwo_celery" in INSTALLED_APPS in the place of "vwo_celery.django"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import Error

from vwo_celery.errors import SettingsError
from vwo_celery.settings import Settings, check, describe
from vwo_celery.settings.sources import DJANGO_SETTING, Given, from_environment, from_options

_NAMES = Settings.__struct_fields__


def check_settings(**_: Any) -> list[Error]:
    """One error for each mistake; none where VWO_CELERY is missing, since every setting has a default."""
    options = getattr(django_settings, DJANGO_SETTING, None)
    if not isinstance(options, Mapping | None):
        message = f"{DJANGO_SETTING} must be a dict; it is of type {type(options).__name__}"
        hint = f'Write {DJANGO_SETTING} = {{"redis_url": "redis://…"}}, or leave it out.'
        return [_error("E001", message, hint)]
    errors = [*_wrong_options(options or {}), *_wrong_variables(options or {})]
    return errors or list(_contradictions())


def check_name(**_: Any) -> list[Error]:
    """One error where "vwo_celery" is installed, which has neither checks nor the command."""
    if apps.is_installed("vwo_celery.django"):
        return []
    message = '"vwo_celery" in INSTALLED_APPS adds neither checks nor the command of manage.py'
    return [_error("E007", message, 'Write "vwo_celery.django" in its place.')]


def _wrong_options(options: Mapping[Any, Any]) -> Iterator[Error]:
    names: set[str] = set()
    for key, value in options.items():
        try:
            given = from_options({key: value}, _NAMES)
        except SettingsError as exc:
            yield _error("E002", str(exc), f"The settings are {', '.join(_NAMES)}.")
            continue
        for name in names.intersection(given):
            yield _error("E002", f"{name} is given twice", "Keep one of the two spellings.")
        names.update(given)
        yield from _wrong_values(given)


def _wrong_variables(options: Mapping[Any, Any]) -> Iterator[Error]:
    """Mistakes in variables that VWO_CELERY does not override."""
    overridden = {str(key).lower() for key, value in options.items() if value is not None}
    variables = from_environment(_NAMES)
    yield from _wrong_values({n: given for n, given in variables.items() if n not in overridden})


def _wrong_values(given: Mapping[str, Given]) -> Iterator[Error]:
    for name, each in given.items():
        try:
            check(name, each)
        except SettingsError as exc:
            hint = f"Give {describe(name).expected}; or leave it out for the default."
            yield _error("E003", str(exc), hint)


def _contradictions() -> Iterator[Error]:
    try:
        Settings.load()
    except SettingsError as exc:
        yield _error("E004", str(exc), "Change one of the two, or leave both out.")


def _error(number: str, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"vwo_celery.{number}")
