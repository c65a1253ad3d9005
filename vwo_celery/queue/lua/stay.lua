-- stay.lua: put a batch back that left its queue for a move, and whose arrival has been forgone.
-- KEYS[1]  meta     HASH  counters
-- KEYS[2]  ready    ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  info     HASH  batch id -> its line
-- KEYS[4]  dead     ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[5]  leaving  HASH  batch id -> its record
-- KEYS[6]  births   ZSET  see shared/indexes.lua
-- KEYS[7]  released ZSET  see shared/indexes.lua
-- ARGV[1]  batch id
-- ARGV[2]  its heading, as only the caller reads it
-- Returns  the number of events put back; 0 if it does not move there.
-- Cost     O(log n), n = batches.
--@include in_index
--@include indexes
--@include info
--@include leaving
--@include taken
--@include room
local state, at, line = read_leaving(KEYS[5], ARGV[1], ARGV[2])
if not state then return 0 end
-- A command that Redis denies leaves the batch where it is: each is tried before anything counts.
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
take_room_back(KEYS[1]) -- the queue is fuller now than when it was granted
redis.call('HDEL', KEYS[5], '')
redis.call('HINCRBY', KEYS[1], 'leaving', 0)
redis.call('ZADD', KEYS[2], 'XX', 0, '')
in_index(redis.pcall('ZSCORE', KEYS[7], ''))
redis.call('HSET', KEYS[3], ARGV[1], line)
local batch = read_info(KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'accepted', batch.events)
redis.call('HINCRBY', KEYS[1], 'leaving', -batch.events)
if state == 'dead' then
  redis.call('ZADD', KEYS[4], at, ARGV[1])
  redis.call('HINCRBY', KEYS[1], 'dead', batch.events)
else
  redis.call('ZADD', KEYS[2], at, ARGV[1])
  in_index(redis.pcall('ZADD', KEYS[6], batch.first, ARGV[1]))
  if has_failed(batch) then enter_released(KEYS[7], KEYS[1], ARGV[1], batch) end
  redis.call('HINCRBY', KEYS[1], 'events', batch.events)
  redis.call('HINCRBY', KEYS[1], 'bytes', batch.bytes)
end
return batch.events
