"""A server of the relay's own, and its processes; another ASGI server can run the app without it.

Files, in reading order: `server` (its address and signals), `processes` (several that share it) and
`bounds` (uvicorn's protocol with the limits that it lacks). Only `server` and `bounds` know uvicorn.

If a process dies, requests without an answer may be lost; those that were answered 200 are stored.
"""
