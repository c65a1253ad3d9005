-- redrive.lua: put a dead-lettered batch back to be sent; its lost leases and its error are forgotten.
-- KEYS[1]  meta   HASH  counters
-- KEYS[2]  ready  ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  info   HASH  batch id -> its line
-- KEYS[4]  dead   ZSET  batch id -> dead-lettered at
-- KEYS[5]  births ZSET  see shared/indexes.lua
-- KEYS[6]  batch  LIST  its events
-- KEYS[7]  tally  HASH  see shared/tally.lua
-- ARGV[1]  batch id
-- Returns  the number of events put back; 0 if it was not among the dead letters; -1 if its events are gone from
--          Redis, so that nothing can be put back, and nothing has changed.
-- Cost     O(log n), n = batches.
--@include clock
--@include in_index
--@include info
--@include taken
--@include room
--@include tally
local batch = read_info(KEYS[3], ARGV[1])
if not batch or not redis.call('ZSCORE', KEYS[4], ARGV[1]) then return 0 end
if redis.call('EXISTS', KEYS[6]) == 0 then return -1 end
redis.call('ZREM', KEYS[4], '') -- allowed when out of memory, as are all writes after it
take_room_back(KEYS[1]) -- the queue is fuller now than when it was granted
redis.call('HINCRBY', KEYS[1], 'dead', 0) -- if this or one of the next two is denied, it is still dead
local now = now_ms()
batch.lost, batch.sealed, batch.error = 0, now, '' -- its age is counted from here, or it would die of age again
write_info(KEYS[3], ARGV[1], batch)
redis.call('ZADD', KEYS[2], now, ARGV[1])
in_index(redis.pcall('ZADD', KEYS[5], batch.first, ARGV[1]))
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'events', batch.events)
redis.call('HINCRBY', KEYS[1], 'bytes', batch.bytes)
redis.call('HINCRBY', KEYS[1], 'dead', -batch.events)
tally(KEYS[7], 'redriven', batch.events)
return batch.events
