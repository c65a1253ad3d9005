"""Stage 1 of an event's way: encode it, store it, answer truthfully.

Files, in reading order: `queue` (what an application holds), `producer` (from an event to its
receipt), `registrant` (its place in the fleet), `limits` (from settings to what the scripts obey),
`singles` (requests that are sent one by one), `aio` (the same for asyncio), `gathering` (its awaits
in one event loop), `readiness` (whether events are taken now), `watching`
(who is told of each call), `shadowing` (counts of a shadowed SDK, of which nothing is stored).
Imports neither Celery nor an HTTP library, so that a web process stays light.

If the process dies before an event's receipt, the event may be lost; with the receipt `redis` or
`spooled`, it is stored.
"""
