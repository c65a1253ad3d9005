-- redrive.lua: put a dead-lettered batch back to be sent, with its count of lost leases cleared.
-- KEYS[1]  meta   HASH  counters
-- KEYS[2]  ready  ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  info   HASH  batch id -> its line
-- KEYS[4]  dead   ZSET  batch id -> dead-lettered at
-- ARGV[1]  batch id
-- Returns  the number of events put back, 0 if it was not among the dead letters.
-- Cost     O(log n), n = batches.
--@include clock
--@include info
--@include room
local batch = read_info(KEYS[3], ARGV[1])
if not batch or redis.call('ZREM', KEYS[4], ARGV[1]) == 0 then return 0 end
take_room_back(KEYS[1]) -- the queue is fuller now than when it was granted
local now = now_ms()
redis.call('ZADD', KEYS[2], now, ARGV[1])
batch.lost, batch.sealed = 0, now -- its age is counted from here, or it would die of age again
write_info(KEYS[3], ARGV[1], batch)
redis.call('HINCRBY', KEYS[1], 'events', batch.events)
redis.call('HINCRBY', KEYS[1], 'bytes', batch.bytes)
redis.call('HINCRBY', KEYS[1], 'dead', -batch.events)
return batch.events
