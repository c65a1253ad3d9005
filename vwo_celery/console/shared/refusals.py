"""What keeps the console from answering: a status, a sentence and a remedy. Nothing to lose.

A text of ours holds no secret; an error that is not ours is told by its kind alone, and logged.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vwo_celery.connections.errors import is_wrong_type
from vwo_celery.console.shared.sources import Source
from vwo_celery.errors import (
    JobUnknown,
    QueueUnavailable,
    QueueUnknown,
    QueueUnreadable,
    VwoCeleryError,
)
from vwo_celery.logs import log
from vwo_celery.operating.doctor.connection import reason_of
from vwo_celery.text.lines import one_line, traceback_lines
from vwo_celery.text.masking import mask_url


class Refusal(Exception):
    """The console does not do what was asked; nothing was changed.

    Args:
        status: HTTP status.
        what: What is true now.
        remedy: What to do; "" for nothing.
        headers: Further headers of the answer.
        wrong_type: Whether Redis answers, but a key is of a wrong type.
    """

    def __init__(
        self,
        status: int,
        what: str,
        remedy: str = "",
        headers: Sequence[tuple[str, str]] = (),
        *,
        wrong_type: bool = False,
    ) -> None:
        super().__init__(what)
        self.status = status
        self.what = one_line(what)
        self.remedy = remedy
        self.headers = headers
        self.wrong_type = wrong_type


def refusal_of(exc: Exception, source: Source) -> Refusal:
    """What an error that came up means for whoever asked."""
    if isinstance(exc, Refusal):
        return exc
    if isinstance(exc, QueueUnavailable):
        return _away(exc, source)
    if isinstance(exc, (QueueUnknown, JobUnknown)) and not isinstance(exc, QueueUnreadable):
        return Refusal(404, str(exc))
    if isinstance(exc, msgspec.MsgspecError) or (
        isinstance(exc, VwoCeleryError) and isinstance(exc, ValueError)
    ):
        return Refusal(400, str(exc), "correct it, and ask again")
    if isinstance(exc, VwoCeleryError):
        return Refusal(409, str(exc))
    log.error("the console failed: %s\n%s", type(exc).__name__, traceback_lines(exc))
    return Refusal(
        500, f"the console failed: {type(exc).__name__}", "see its log, and report what it says"
    )


def _away(exc: QueueUnavailable, source: Source) -> Refusal:
    reason = reason_of(exc, source.fleet)
    if is_wrong_type(exc):  # Redis answers, and all that needs another key goes on
        return Refusal(503, reason.what, reason.remedy, wrong_type=True)
    url = mask_url(source.settings.redis_url)
    return Refusal(503, f"{url} cannot be used: {reason.what}", reason.remedy)
