"""Lines of JSON in the logs of workers and beat, where the setting `log_format` asks for them.

Celery announces each handler that it has set up; a project that sets up its logs by itself gives its
handlers a `vwo_celery.logs.JsonFormatter`. Nothing to lose.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import after_setup_logger, after_setup_task_logger

from vwo_celery.logs import JsonFormatter
from vwo_celery.settings import Settings

_UID = "vwo_celery"


def install(settings: Settings) -> None:
    """Have this process log JSON, if *settings* say so; further calls change nothing."""
    if settings.log_format != "json":
        return
    for announced in (after_setup_logger, after_setup_task_logger):
        announced.connect(_use_json, weak=False, dispatch_uid=_UID)


def _use_json(logger: logging.Logger | None = None, **_: Any) -> None:
    for handler in logger.handlers if logger is not None else ():
        handler.setFormatter(JsonFormatter())
