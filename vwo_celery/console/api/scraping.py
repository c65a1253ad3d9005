"""`/metrics`, read from Redis at each scrape. Nothing to lose."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from vwo_celery.console.shared.exchange import Response
from vwo_celery.console.shared.refusals import Refusal

if TYPE_CHECKING:
    from vwo_celery.console.shared.visits import Visit


def metrics(visit: Visit) -> Response:
    """All metrics, for Prometheus."""
    if find_spec("prometheus_client") is None:
        raise Refusal(
            501, "the metrics need prometheus_client, not installed here",
            "pip install prometheus-client, or install this package with its extra [metrics]",
        )  # fmt: skip
    from importlib import import_module

    body, kind = import_module("vwo_celery.metrics").exposition(visit.fleet, visit.settings)
    return Response(200, (("Content-Type", kind),), body)
