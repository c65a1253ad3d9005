"""`vwo-celery relay`: an HTTP server for VWO's SDKs of every language, which stores their events.

It speaks VWO's collection protocol, so that any official SDK that is pointed at it has its events put
on the shared queue. Beside `celery` and `sdk`: it translates requests, and decides nothing of queues.
Files, in reading order: `app` (one request, from its body to its answer), `request` (a request as the
other files read it), `paths` (which paths there are), `bodies` (encodings undone within bounds),
`batches` (the events of one body), `singles` (a body or a query that is one event), `diagnostics` (the
SDKs' reports on themselves), `settings_files` (the settings that SDKs fetch), `gateway` (what they ask
VWO's gateway), `access` (who may send), `destinations` (from a request to its queue), `cors`
(browsers), `answers` (what SDKs get), `counts` (what this process has done), `telling` (the fleet of
it), `limits` (what a request may cost), `making` (from settings to the app), `beside` (in front of
another application); and for a server of its own `bounds` (uvicorn's protocol with those limits),
`server` (its address and signals) and `processes` (several of them). Only `bounds` and `server` know
uvicorn, so that any ASGI server can run the app, alone or in front of an application of one's own:

    app = beside(app, relay_app(prefix="/vwo", accounts={"888888": [KEY]}))

If the process dies, requests without an answer may be lost; those that were answered 200 are stored.
"""

from __future__ import annotations

from vwo_celery.relay.access import Access
from vwo_celery.relay.app import Relay
from vwo_celery.relay.beside import beside
from vwo_celery.relay.counts import counts
from vwo_celery.relay.making import relay_app

__all__ = ["Access", "Relay", "beside", "counts", "relay_app"]
