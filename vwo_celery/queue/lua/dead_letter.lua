-- dead_letter.lua: take a batch out of delivery and keep it for the operator.
-- KEYS[1]  meta    HASH  counters
-- KEYS[2]  leases  ZSET  batch id -> lease expiry
-- KEYS[3]  info    HASH  batch id -> its line
-- KEYS[4]  dead    ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[5]  births  ZSET  see shared/indexes.lua
-- KEYS[6]  released ZSET see shared/indexes.lua
-- KEYS[7]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[8]  tally   HASH  see shared/tally.lua
-- ARGV[1]  batch id
-- ARGV[2]  attempt under which the caller claimed it
-- ARGV[3]  why, shown to operators
-- ARGV[4+] what the caller counted, see shared/tally.lua
-- Returns  1 if it was the caller's, 0 if it had been settled or reclaimed.
-- Cost     O(log n), n = batches.
--@include clock
--@include in_index
--@include indexes
--@include info
--@include outcome
--@include tally
local batch = read_info(KEYS[3], ARGV[1])
if not batch or batch.attempt ~= tonumber(ARGV[2]) then return 0 end
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
batch.error = ARGV[3]
write_info(KEYS[3], ARGV[1], batch)
redis.call('HINCRBY', KEYS[1], 'dead', 0) -- if this or one of the next is denied, it is still leased
local noting = try_to_note(KEYS[1], KEYS[7])
redis.call('ZADD', KEYS[4], now_ms(), ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
in_index(redis.pcall('ZREM', KEYS[5], ARGV[1]))
leave_released(KEYS[6], KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'events', -batch.events)
redis.call('HINCRBY', KEYS[1], 'bytes', -batch.bytes)
redis.call('HINCRBY', KEYS[1], 'dead', batch.events)
note_outcome(noting, KEYS[7], ARGV[1], 'dead', batch.events, batch.sealed)
tally_given(KEYS[8], 4)
return 1
