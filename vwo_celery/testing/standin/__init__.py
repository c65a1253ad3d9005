"""A stand-in for VWO's collection server: a real HTTP server with VWO's known rules.

It stands at the far end of an event's way, where the POST arrives. `rules` decides about a request,
`fetches` about those for settings and to the gateway, `agreement` holds events against their request
line, `tally` counts, `faults` are those that a test plans, `server` speaks HTTP and plays them. It can
be run by itself:
`python -m vwo_celery.testing.standin --help`.

It knows VWO's documented bounds and answers. Further checks of the real server are not published, so
passing here is necessary and not sufficient.
"""

from __future__ import annotations

from vwo_celery.testing.standin.faults import Fault
from vwo_celery.testing.standin.rules import Request
from vwo_celery.testing.standin.server import Standin

__all__ = ["Fault", "Request", "Standin"]
