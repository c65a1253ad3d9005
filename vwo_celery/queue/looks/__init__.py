"""Looks at the queue, which change nothing.

Files, in reading order: `glances` (the numbers of shards at the same cost for any backlog, which
`reading` reads), `snapshots` (one shard at one moment with all its batches), `counters`, `numbers` and
`fields` (of both), `lines` (of batches), `pages` (batches and events page by page), `places` (which
batches are where), `surveys` (many shards in one round trip), `drops` (when events were dropped),
`tallies` (what processes told of events outside of Redis), `listening` (when each worker was last
heard), `types` (keys of a wrong type). Nothing to lose.
"""
