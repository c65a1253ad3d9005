"""The task that does an operator's bulk work, `vwo_celery.operate`, and the message that starts it.

The message holds the id of a job, whose order stands in Redis. It is published once, within a bounded
time, and acknowledged early: a job whose message or worker is lost is shown as waiting or silent, and the
same order again does what is left. The task takes one of the worker's lanes for as long as it lasts.
"""

from __future__ import annotations

from typing import Any

import msgspec
from celery import Celery, shared_task
from celery.app.utils import find_app

from vwo_celery.celery.messages import misdirected
from vwo_celery.celery.messages.publisher import bounded_connection
from vwo_celery.celery.options import OPERATE, routing
from vwo_celery.celery.setup import settings_of
from vwo_celery.celery.worker.names import worker_name
from vwo_celery.celery.worker.stopping import stopping
from vwo_celery.celery.worker.task import OwnTask
from vwo_celery.celery.worker.tasks import worker_of
from vwo_celery.errors import VwoCeleryError
from vwo_celery.operating.operations import jobs
from vwo_celery.settings import Settings
from vwo_celery.text.masking import mask_url

#: Time limit of the task, in seconds: a paced job may last for days.
_LIMIT_SECONDS = 7 * 86_400


class NotOrdered(VwoCeleryError):
    """The broker took no message, so that no worker begins the job."""


class OperateTask(OwnTask):
    """A task that may last as long as its job."""

    @property
    def soft_time_limit(self) -> int:  # type: ignore[override]
        """Seconds after which the job is interrupted."""
        return _LIMIT_SECONDS

    @property
    def time_limit(self) -> int:  # type: ignore[override]
        """Seconds after which its process is killed."""
        return _LIMIT_SECONDS + super().time_limit


class NoApp(VwoCeleryError):
    """There is no Celery app of that name, or it cannot be imported."""


def app_of(settings: Settings, name: str = "") -> Celery:
    """The Celery app of that name, as `celery -A` takes it; "" for the ready one, with *settings*.

    Raises:
        NoApp: There is none.
    """
    if not name:
        from vwo_celery.celery.app import make_app  # importing it makes the app of the environment

        return make_app(settings)
    try:
        app: Celery = find_app(name)
    except Exception as exc:  # whatever the user's module raises
        raise NoApp(f"there is no Celery app {name!r}: {type(exc).__name__}: {exc}") from exc
    return app


@shared_task(base=OperateTask, bind=True, name=OPERATE)
def operate(self: Any, job: str) -> dict[str, Any]:
    """Do a job that an operator ordered.

    Returns:
        What was changed and what is left; or that another worker does it, or that it is gone.
    """
    worker = worker_of(self.app)
    if misdirected.is_misdirected(self):
        return misdirected.pass_on(self, worker, f"job {job} of another namespace")
    done = jobs.run_job(worker.fleet, job, worker_name(), stopping)
    if done is None:
        return {"why": "another worker does it, or it is gone"}
    document: dict[str, Any] = msgspec.to_builtins(done)
    return document


def publish_job(app: Celery, job: str) -> None:
    """Have a worker of *app* begin a job.

    Raises:
        NotOrdered: The broker took no message within seconds.
    """
    options = routing(app, settings_of(app))
    options |= {"soft_time_limit": _LIMIT_SECONDS, "time_limit": 2 * _LIMIT_SECONDS}
    try:
        with bounded_connection(app) as connection:
            app.send_task(
                OPERATE,
                args=(job,),
                connection=connection,
                retry=False,
                ignore_result=True,
                **options,
            )
    except Exception as exc:  # each transport has errors of its own
        broker = mask_url(app.connection_for_write().as_uri())
        raise NotOrdered(
            f"the broker {broker} takes no task: {type(exc).__name__}; see whether it runs. "
            "Nothing was changed; without --background this command does the work itself"
        ) from exc
