"""The API: the pages' documents for programs, as JSON, and what probes and scrapers ask.

Files, in reading order: `question` (what one question is), `questions` (all of them), `openapi` (the
document that describes them and the actions), `probes` (`/healthz`, `/readyz`), `scraping`
(`/metrics`). Reads only: nothing to lose.
"""

from __future__ import annotations

from typing import Final

from vwo_celery.console.api.openapi import describe
from vwo_celery.console.api.question import BASE
from vwo_celery.console.api.questions import QUESTIONS
from vwo_celery.console.api.scraping import metrics
from vwo_celery.console.shared.exchange import json_response
from vwo_celery.console.shared.routes import Route

#: The API's paths that look.
API: Final = (
    *(each.route() for each in QUESTIONS),
    Route(f"{BASE}/openapi.json", lambda _: json_response(describe())),
    Route("metrics", metrics),
)
