"""A filter that keeps the sweeps which beat sends out of Celery's logs, unless something fails.

Celery logs each task at INFO when beat sends it, when a worker receives it, and when it has run: an
idle fleet would fill its logs with sweeps. With the level DEBUG they are shown. Nothing to lose.
"""

from __future__ import annotations

import logging

from vwo_celery.celery.options import SWEEP

#: Loggers of beat, whichever scheduler it runs, and of the workers.
_LOGGERS = ("celery.beat", "celery.worker.strategy", "celery.app.trace")


def install() -> None:
    """Install the filter; further calls change nothing."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, SweepFilter) for each in logger.filters):
            logger.addFilter(SweepFilter(logger))


class SweepFilter(logging.Filter):
    """Drops lines of the level INFO that tell of a sweep.

    Args:
        logger: The logger that it filters; where DEBUG is enabled, nothing is dropped.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the line."""
        if record.levelno != logging.INFO or not _tells_of_sweep(record):
            return True
        return self._logger.isEnabledFor(logging.DEBUG)


def _tells_of_sweep(record: logging.LogRecord) -> bool:
    args = record.args
    if isinstance(args, dict):  # of a worker: the task's id, name, arguments
        return args.get("name") == SWEEP
    return isinstance(args, tuple) and SWEEP in args  # of beat: names of the entry and of the task
