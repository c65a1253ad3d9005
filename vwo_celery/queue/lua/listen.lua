-- listen.lua: note that a worker listens now, and forget those that were silent for long; also when Redis is out
-- of memory, where a worker that works would seem to be gone.
-- KEYS[1]  listeners  ZSET  worker -> Unix ms at which it last listened
-- ARGV[1]  worker
-- ARGV[2]  now, Unix ms
-- ARGV[3]  time from which on a worker counts as gone, Unix ms
-- Returns  {when any worker had listened last, Unix ms, 0 for never; how many were forgotten}. What says that it
--          listened in the time to come is none of ours, and does not count.
-- Cost     O(log n), n = workers.
redis.call('ZREM', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local soon = 2 * ARGV[2] - ARGV[3] -- another worker's "now" may be a moment after this one's
local latest = redis.call('ZRANGE', KEYS[1], soon, 0, 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
local gone = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
return { tonumber(latest[2] or 0), gone }
