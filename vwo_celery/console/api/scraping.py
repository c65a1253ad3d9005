"""`/metrics`, read from Redis at each scrape. Nothing to lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vwo_celery.console.shared.exchange import Response
from vwo_celery.console.shared.refusals import Refusal

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit


def metrics(visit: Visit) -> Response:
    """All metrics, for Prometheus; also while Redis is away, which is one of them."""
    from vwo_celery.metrics import exposition  # prometheus_client may not be installed

    accept = visit.request.headers.get("accept", "")
    try:
        body, kind = exposition(visit.fleet, visit.settings, accept)
    except ImportError as exc:
        raise Refusal(501, str(exc)) from exc
    return Response(200, (("Content-Type", kind),), body)
