-- purge.lua: drop a dead-lettered batch for good, counted as dropped.
-- KEYS[1]  meta   HASH  counters
-- KEYS[2]  info   HASH  batch id -> its line
-- KEYS[3]  dead   ZSET  batch id -> dead-lettered at
-- KEYS[4]  batch  LIST  its events
-- ARGV[1]  batch id
-- Returns  the number of events dropped, 0 if it was not among the dead letters.
-- Cost     O(log n); the events are freed in the background.
--@include info
local batch = read_info(KEYS[2], ARGV[1])
if not batch or redis.call('ZREM', KEYS[3], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('UNLINK', KEYS[4])
redis.call('HINCRBY', KEYS[1], 'dead', -batch.events)
redis.call('HINCRBY', KEYS[1], 'dropped:purged', batch.events)
return batch.events
