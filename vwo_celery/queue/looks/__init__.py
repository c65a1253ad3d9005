"""Looks at the queue and at its servers, which change nothing.

Files, in reading order: `glances` (the numbers of shards at the same cost for any backlog, which
`reading` reads), `snapshots` (one shard at one moment with all its batches), `counters` and
`numbers` (of both), `lines` (of batches), `pages` (batches and events page by page), `surveys`
(many shards in one round trip), `drops` (when events were dropped), `tallies` (what processes told
of events outside of Redis), `servers` (facts about a Redis server), `mastership` (what Sentinels
say of it), `permissions` (rights of a Redis user), `roles` (rights that each kind of user needs),
`listening` (when each worker was last heard),
`types` (keys of a wrong type), `writes` (is a write taken?). Nothing to lose.
"""
