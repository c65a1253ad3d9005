"""Looks at the queue and at its servers, which change nothing.

Files, in reading order: `snapshots` (one shard at one moment; its counters by `numbers`), `pages`
(its batches and events page by page), `surveys` (many shards in one round trip), `drops` (when
events were dropped), `tallies` (what processes told of events outside of Redis), `servers` (facts
about a Redis server), `mastership` (what Sentinels say of it), `permissions` (rights of a Redis
user), `roles` (rights that each kind of user needs), `types` (keys of a wrong type), `writes` (is a
write taken?). Nothing to lose.
"""
