"""`setup`, the one line that adds vwo_celery to a Celery app; and apps that are set up without it.

Each app that is set up has settings, a listener in its workers, and an entry for beat. Celery gives
our tasks to every app of a process, so which app a worker or beat runs is known only when it starts:
where nobody called `setup`, every app is set up that has the tasks. Nothing is sent: nothing to lose.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from celery import Celery
from celery.signals import beat_init, celeryd_after_setup

from vwo_celery.celery import log_lines, quiet
from vwo_celery.celery.options import DELIVER, SWEEP, routing
from vwo_celery.errors import SettingsError
from vwo_celery.logs import log
from vwo_celery.queue.work.sweep_messages import beat_seconds
from vwo_celery.settings import Settings
from vwo_celery.settings.arguments import SettingsArguments
from vwo_celery.text.wording import shown

if TYPE_CHECKING:
    from typing_extensions import Unpack

BEAT_ENTRY = "vwo-celery-sweep"
#: Name of the bootstep, which only workers import.
LISTENER = "vwo_celery.celery.worker.listener:Listener"
#: Module of the program `celery`: workers, and those who control them; web processes do not load it.
_COMMAND_LINE = "celery.bin.celery"
_UID = "vwo_celery"


class _Apps:
    """The Celery apps of this process.

    Attributes:
        settings: Settings of each app that was asked for them.
        by_hand: Apps for which somebody called `setup`.
        with_tasks: Apps that have our tasks.
        by_themselves: Whether apps are set up without a call of `setup`, unless there is one.
    """

    def __init__(self) -> None:
        self.settings: WeakKeyDictionary[Celery, Settings] = WeakKeyDictionary()
        self.by_hand: WeakSet[Celery] = WeakSet()
        self.with_tasks: WeakSet[Celery] = WeakSet()
        self.by_themselves = False


_apps = _Apps()


def setup(
    app: Celery, settings: Settings | None = None, **arguments: Unpack[SettingsArguments]
) -> Settings:
    """Add vwo_celery to a Celery app: tasks, listener, beat entry, routing.

    Args:
        app: The app that workers and beat run.
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        arguments: Single settings, listed by `help(vwo_celery.setup)`.

    Returns:
        The settings that the app's workers use.

    Raises:
        SettingsError: A setting is wrong, or *app* or *settings* is something else.
    """
    _check_types(app, settings)
    settings = settings if settings is not None else Settings.load(**arguments)
    _apps.settings[app] = settings
    _apps.by_hand.add(app)
    import vwo_celery.celery.worker.background  # noqa: F401  it registers the tasks with every app

    _add_to(app)
    return settings


def _check_types(app: object, settings: object) -> None:
    if not isinstance(app, Celery):
        raise SettingsError(f"setup takes a Celery app; {shown(app)} was given")
    if not isinstance(settings, Settings | None):
        raise SettingsError(
            f"setup takes ready-made Settings, or single settings by name, as in setup(app, "
            f"redis_url=…); an object of type {type(settings).__name__} was given"
        )


def set_up_apps() -> None:
    """Set up every app that has our tasks, now or later, unless `setup` is called for one.

    Raises:
        SettingsError: A setting is wrong.
    """
    _apps.by_themselves = True
    for app in list(_apps.with_tasks):
        note_tasks(app)


def note_tasks(app: Celery) -> None:
    """Note that an app got our tasks.

    Raises:
        SettingsError: The app is set up now, and a setting is wrong.
    """
    _apps.with_tasks.add(app)
    if is_set_up(app):
        _add_to(app)


def is_set_up(app: Celery) -> bool:
    """Whether workers and beat of this app work for us."""
    if _apps.by_hand:
        return app in _apps.by_hand
    return _apps.by_themselves and app in _apps.with_tasks


def settings_of(app: Celery) -> Settings:
    """The settings given to `setup`; without it, those of Django and the environment."""
    if app not in _apps.settings:
        _apps.settings[app] = Settings.load()
    return _apps.settings[app]


def _add_to(app: Celery) -> None:
    log_lines.install(settings_of(app))
    quiet.install()
    if _COMMAND_LINE in sys.modules:
        import vwo_celery.celery.control  # noqa: F401  it registers commands for workers and inspect
    app.steps["worker"].add(LISTENER)
    for started in (celeryd_after_setup, beat_init):
        started.connect(_warn_if_left_out, weak=False, dispatch_uid=_UID)
    app.on_after_finalize.connect(_add_beat_entry, weak=False, dispatch_uid=_UID)
    if getattr(app, "finalized", False):
        _add_beat_entry(app)


def _add_beat_entry(sender: Celery, **_: Any) -> None:
    if not is_set_up(sender):
        return
    settings = settings_of(sender)
    sender.add_periodic_task(
        beat_seconds(settings),  # whole seconds: django-celery-beat stores no others
        sender.signature(SWEEP),
        name=BEAT_ENTRY,
        **routing(sender, settings),
    )


def _warn_if_left_out(sender: Any, instance: Any = None, **_: Any) -> None:
    """Warn of a worker or beat whose app has our tasks, while another app was set up."""
    app = (instance if instance is not None else sender).app
    if is_set_up(app) or DELIVER not in app.tasks:
        return
    others = ", ".join(repr(str(each.main)) for each in _apps.by_hand)
    log.warning(
        "this process runs the Celery app %r, and vwo_celery.setup was called for %s only: it has "
        "the tasks, but no listener and no beat entry, and by itself delivers nothing; if it is to "
        "deliver, call vwo_celery.setup for its app", str(app.main), others,
    )  # fmt: skip
