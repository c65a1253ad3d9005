"""The API: the pages' documents for programs, as JSON, and what probes ask."""

from __future__ import annotations

from typing import Final

from vwo_celery.console.shared.routes import Route

#: The API's paths that look.
API: Final[tuple[Route, ...]] = ()
