-- set_aside.lua: take a batch that no worker holds out of delivery, and keep it for the operator.
-- KEYS[1]  meta    HASH  counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  dead    ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[6]  births  ZSET  see shared/indexes.lua
-- KEYS[7]  released ZSET see shared/indexes.lua
-- KEYS[8]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[9]  tally   HASH  see shared/tally.lua
-- ARGV[1]  batch id
-- ARGV[2]  why, shown to operators
-- Returns  the number of events set aside; 0 if it was neither ready nor released: in flight, dead, settled.
-- Cost     O(log n), n = batches.
--@include clock
--@include in_index
--@include indexes
--@include info
--@include outcome
--@include tally
local batch, now = read_info(KEYS[4], ARGV[1]), now_ms()
if not batch then return 0 end
local lease = redis.call('ZSCORE', KEYS[3], ARGV[1])
if lease and tonumber(lease) > now then return 0 end
if not lease and not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
batch.error = ARGV[2]
write_info(KEYS[4], ARGV[1], batch)
redis.call('HINCRBY', KEYS[1], 'dead', 0) -- if this or one of the next is denied, it waits as before
local noting = try_to_note(KEYS[1], KEYS[8])
redis.call('ZADD', KEYS[5], now, ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
in_index(redis.pcall('ZREM', KEYS[6], ARGV[1]))
leave_released(KEYS[7], KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'events', -batch.events)
redis.call('HINCRBY', KEYS[1], 'bytes', -batch.bytes)
redis.call('HINCRBY', KEYS[1], 'dead', batch.events)
note_outcome(noting, KEYS[8], ARGV[1], 'dead', batch.events, batch.sealed)
tally(KEYS[9], 'dead:operator', batch.events)
return batch.events
