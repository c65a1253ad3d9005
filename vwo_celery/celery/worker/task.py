"""The base class of our tasks: their options, which no project-wide setting changes.

Celery binds each task to every app of the process, and tells the class. Decides on settings alone:
nothing to lose.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, Task, uuid

from vwo_celery.celery.messages.beat import asking
from vwo_celery.celery.options import limits, routing, serializer_of
from vwo_celery.celery.setup import is_set_up, note_tasks, settings_of

#: Options that neither the project's settings nor its annotations for all tasks may change.
_OWN = (
    "acks_late", "autoretry_for", "ignore_result", "rate_limit", "reject_on_worker_lost",
    "retry_on_worker_lost", "store_errors_even_if_ignored", "track_started",
)  # fmt: skip
#: Options that each message states, so that nothing may change them.
_STATED = ("serializer", "soft_time_limit", "time_limit")


class OwnTask(Task):  # type: ignore[type-arg]
    """A task that states its own options.

    An annotation by its name ("vwo_celery.deliver") is meant for it and holds, except for what each
    message states.
    """

    #: A message is a hint and may be lost, so it is acknowledged when it arrives. A task that is
    #: acknowledged late Celery may cut off in its POST, when the broker is lost
    #: (`worker_cancel_long_running_tasks_on_connection_loss`).
    acks_late = False
    autoretry_for = ()
    ignore_result = True
    reject_on_worker_lost = False
    retry_on_worker_lost = False
    store_errors_even_if_ignored = False
    track_started = False

    @property
    def serializer(self) -> str:  # type: ignore[override]
        """The serializer of the task's messages."""
        return serializer_of(self.app)

    @property
    def soft_time_limit(self) -> int:  # type: ignore[override]
        """Seconds after which the task hands its batch back."""
        return limits(settings_of(self.app)).soft

    @property
    def time_limit(self) -> int:  # type: ignore[override]
        """Seconds after which its process is killed."""
        return limits(settings_of(self.app)).hard

    def publish(self, args: Any, kwargs: Any, **options: Any) -> None:
        """Publish a message as it is given."""
        OwnTask.apply_async(self, args, kwargs, retry=False, **options)

    @classmethod
    def on_bound(cls, app: Celery) -> None:
        """Undo what the project's settings changed; called by Celery after it applied them."""
        if not issubclass(cls, app.Task):  # keep what the project's class does around every task
            cls.__bases__ = (*cls.__bases__, app.Task)
        for option in (*_OWN, *_STATED):
            if option in vars(cls):
                delattr(cls, option)
        cls.rate_limit = None  # here, since Celery takes None for "as the project says"
        annotations: Any = app.annotations
        for annotation in annotations:
            for option, value in (annotation.annotate(cls) or {}).items():
                if option in _OWN:
                    setattr(cls, option, value)
        note_tasks(app)


class SweepTask(OwnTask):
    """The sweep; beat publishes it with `apply_async`."""

    def apply_async(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> Any:
        """Publish a sweep, unless an earlier one is still to be answered."""
        if not is_set_up(self.app):
            return super().apply_async(args, kwargs, **options)
        settings = settings_of(self.app)
        own = routing(self.app, settings)
        headers = {**own.pop("headers"), **(options.pop("headers", None) or {})}
        with asking(self.app, settings) as may_send:
            if may_send:
                return super().apply_async(args, kwargs, **{**own, **options, "headers": headers})
        return self.AsyncResult(uuid())  # schedulers look at the id of what they have sent
