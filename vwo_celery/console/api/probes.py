"""What probes and scrapers ask: `/healthz`, `/readyz` and `/metrics`.

The first two tell nobody anything but yes or no, so they need no visitor. Nothing to lose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vwo_celery.console.shared.exchange import Request, Response, text_response
from vwo_celery.console.shared.sources import Source
from vwo_celery.errors import QueueUnavailable

if TYPE_CHECKING:
    pass


def probe(request: Request, source: Source) -> Response | None:
    """The answer to a probe; None if it is none."""
    if not request.is_safe:
        return None
    if request.path == "/healthz":
        return text_response(200, "ok")
    if request.path == "/readyz":
        is_ready = source.kept("ready", 1.0, lambda: _answers(source))
        return text_response(200, "ok") if is_ready else text_response(503, "Redis does not answer")
    return None


def _answers(source: Source) -> bool:
    try:
        source.fleet().now_ms()
    except QueueUnavailable:
        return False
    return True
