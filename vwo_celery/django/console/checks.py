"""System checks of the console: that its permissions exist, and that nobody gets in without a login.

Run by `manage.py check`, `runserver`, `migrate` and before tests. No I/O of ours; W001 asks the
project's own authentication backends.

vwo_celery.E005  the console is mounted where nobody can be given its permissions
vwo_celery.E006  the console is mounted, and what it is rendered with is not installed
vwo_celery.W001  whoever is not logged in may see the console
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.urls import URLResolver, get_resolver

from vwo_celery.text.wording import install_extra

#: The name by which URLs of `vwo_celery.django.urls` are reversed; tells that they are mounted.
APP_NAME = "vwo_celery"
CONSOLE = "vwo_celery.django.console"
VIEW_PERMISSION = "vwo_celery.view_eventqueue"
_RENDERED_WITH = "jinja2"
_AUTH = ("django.contrib.auth", "django.contrib.contenttypes")


def check_access(**_: Any) -> list[CheckMessage]:
    """What keeps everybody out of the console, and what lets anybody in; nothing where there is none."""
    if not (apps.is_installed(CONSOLE) or is_mounted()):
        return []
    missing = [app for app in (*_AUTH, CONSOLE) if not apps.is_installed(app)]
    if missing:
        return [_without_permissions(missing)]
    return [*_without_extra(), *_public()]


def is_mounted() -> bool:
    """Whether the project's URLs include `vwo_celery.django.urls`, at any depth."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return False
    try:
        return _has_console(get_resolver().url_patterns)
    except Exception:  # whatever is wrong with the project's URLs, Django's own check says it
        return False


def _has_console(patterns: Iterable[Any]) -> bool:
    resolvers = [each for each in patterns if isinstance(each, URLResolver)]
    return any(each.app_name == APP_NAME or _has_console(each.url_patterns) for each in resolvers)


def _without_permissions(missing: list[str]) -> Error:
    names = ", ".join(missing)
    return Error(
        f"the console is mounted, and its permissions do not exist without {names}",
        hint=f"Add {names} to INSTALLED_APPS, and run manage.py migrate.",
        id="vwo_celery.E005",
    )


def _without_extra() -> Iterator[CheckMessage]:
    if find_spec(_RENDERED_WITH) is None:
        yield Error(
            f"the console is mounted, and {_RENDERED_WITH} is not installed",
            hint=f"Install the extra of the console: {install_extra('django,console')}",
            id="vwo_celery.E006",
        )


def _public() -> Iterator[CheckMessage]:
    from django.contrib.auth.models import AnonymousUser

    try:
        public = AnonymousUser().has_perm(VIEW_PERMISSION)
    except Exception:  # a backend of the project's that cannot be asked now
        return
    if public:
        yield Warning(
            f"whoever is not logged in may see the console: a backend gives {VIEW_PERMISSION} "
            "to anonymous users",
            hint="Take it from them in the backends of AUTHENTICATION_BACKENDS.",
            id="vwo_celery.W001",
        )
