"""A server of the relay's own, and its processes; another ASGI server can run the app without it.

Files, in reading order: `server` (what is the relay's own), `addresses` (where a server listens),
`running` (uvicorn, until a signal), `processes` (several that share an address) and `bounds` (uvicorn's
protocol with the limits that it lacks). The console is served by the same. Only `running` and `bounds`
load uvicorn.

If a process dies, requests without an answer may be lost; those that were answered 200 are stored.
"""
