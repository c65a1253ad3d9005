"""The Celery queue that our tasks go to, as the workers that answered are configured.

Our own setting `celery_queue` comes first; else a project's `task_routes` decides, else its default
queue, as Celery does it. Decides on what workers told: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from celery import Celery
from celery.app.routes import MapRoute, prepare

from vwo_celery.celery.options import DELIVER

_CELERYS_DEFAULT_QUEUE: Final = "celery"


def route_of(app: Celery) -> str:
    """The queue to which an app's own routes send our tasks; "" if they say nothing of them."""
    found = app.amqp.router.lookup_route(DELIVER, (), {}, {})
    return _name(found)


def target_of(configuration: Mapping[str, Any]) -> str | None:
    """The queue of our tasks by a worker's configuration; None where a function of its decides."""
    routes = configuration.get("task_routes")
    if routes:
        if not _is_data(routes):
            return None
        for each in prepare(routes):
            found = each(DELIVER) if isinstance(each, MapRoute) else None
            if name := _name(found):
                return name
    return str(configuration.get("task_default_queue") or _CELERYS_DEFAULT_QUEUE)


def _is_data(routes: Any) -> bool:
    """Whether routes are maps and lists of them; a worker tells a function only as its name."""
    if isinstance(routes, Mapping):
        return True
    return (
        isinstance(routes, Sequence)
        and not isinstance(routes, str)
        and all(isinstance(each, Mapping | list | tuple) for each in routes)
    )


def _name(route: Any) -> str:
    queue = route.get("queue") if isinstance(route, Mapping) else route
    return str(getattr(queue, "name", queue) or "")


def first_target(
    configurations: Mapping[str, Mapping[str, Any]], knows_tasks: Callable[[str], bool]
) -> str | None:
    """The queue by the first worker that knows our tasks; Celery's own default if none does."""
    for worker, configuration in configurations.items():
        if knows_tasks(worker):
            return target_of(configuration)
    return _CELERYS_DEFAULT_QUEUE
