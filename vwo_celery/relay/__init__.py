"""`vwo-celery relay`: an HTTP server for VWO's SDKs of every language, which stores their events.

It speaks VWO's collection protocol, so that any official SDK that is pointed at it has its events put
on the shared queue. Beside `celery` and `sdk`: it translates requests, and decides nothing of queues.
Files, in reading order: `app` (one request, from its body to its answer), `destinations` (from a request
to its queue), `cors` (browsers), `making` (from settings to the app), `beside` (in front of another
application). Rooms: `reading` (from a request's bytes to its events), `passing` (what goes to VWO beside
the queue), `rules` (who may send, how much, and what is answered), `telling` (what a relay has done) and
`serving` (a server of its own). Only `serving` knows uvicorn, so that any ASGI server can run the app,
alone or in front of an application of one's own:

    app = beside(app, relay_app(prefix="/vwo", accounts={"888888": [KEY]}))

If the process dies, requests without an answer may be lost; those that were answered 200 are stored.
"""

from __future__ import annotations

from vwo_celery.relay.app import Relay
from vwo_celery.relay.beside import beside
from vwo_celery.relay.making import relay_app
from vwo_celery.relay.rules.access import Access
from vwo_celery.relay.telling.counts import counts

__all__ = ["Access", "Relay", "beside", "counts", "relay_app"]
