-- snapshot.lua: all that one shard holds at one moment, but for the events; changes nothing.
-- A script and not a transaction: Redis refuses even the reads of a transaction when it is out of memory,
-- which is when an operator looks.
-- KEYS[1]  open    LIST  the list being filled
-- KEYS[2]  meta    HASH  limits and counters
-- KEYS[3]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[4]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[5]  dead    ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[6]  info    HASH  batch id -> its line
-- KEYS[7]  slots   ZSET  wake-up token -> expiry, Unix ms
-- KEYS[8]  leaving HASH  batch id -> its record
-- ARGV     none
-- Returns  {time, meta, open events, ready, leases, dead, info, slots, leaving}: time as TIME answers, hashes and
--          sorted sets flat, slots their number.
-- Cost     O(n), n = batches.
return {
  redis.call('TIME'),
  redis.call('HGETALL', KEYS[2]),
  redis.call('LLEN', KEYS[1]),
  redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES'),
  redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES'),
  redis.call('ZRANGE', KEYS[5], 0, -1, 'WITHSCORES'),
  redis.call('HGETALL', KEYS[6]),
  redis.call('ZCARD', KEYS[7]),
  redis.call('HGETALL', KEYS[8]),
}
