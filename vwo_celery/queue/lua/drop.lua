-- drop.lua: drop a batch that waits and that no worker holds, for good, at an operator's request.
-- KEYS[1]  meta    HASH  counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  births  ZSET  see shared/indexes.lua
-- KEYS[6]  released ZSET see shared/indexes.lua
-- KEYS[7]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[8]  batch   LIST  its events
-- KEYS[9]  traced  HASH  see shared/contexts.lua
-- ARGV[1]  batch id
-- ARGV[2]  the reason, one word, under which it is counted; 'vanished' if its events were deleted before
-- ARGV[3]  Unix ms; a batch that was sealed later stays
-- Returns  {events, vanished}: number of events dropped, and of those of them that were gone before; {0, 0} if it
--          is in flight, dead, settled or too new.
-- Cost     O(log n), n = batches; the events are freed in the background.
--@include clock
--@include drops
--@include in_index
--@include indexes
--@include info
--@include outcome
local batch, now = read_info(KEYS[4], ARGV[1]), now_ms()
if not batch or tonumber(batch.sealed) > tonumber(ARGV[3]) then return { 0, 0 } end
local lease = redis.call('ZSCORE', KEYS[3], ARGV[1])
if lease and tonumber(lease) > now then return { 0, 0 } end
if not lease and not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return { 0, 0 } end

redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
redis.call('HDEL', KEYS[4], '')
redis.call('HINCRBY', KEYS[1], 'events', 0)
local noting = try_to_note(KEYS[1], KEYS[7])
leave_released(KEYS[6], KEYS[1], ARGV[1])
local was_there = redis.call('UNLINK', KEYS[8]) == 1 -- if this or one before it is denied, it waits as before
for _, set in ipairs({ KEYS[2], KEYS[3] }) do redis.call('ZREM', set, ARGV[1]) end
in_index(redis.pcall('ZREM', KEYS[5], ARGV[1]))
redis.call('HDEL', KEYS[4], ARGV[1])
redis.pcall('HDEL', KEYS[9], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'events', -batch.events)
redis.call('HINCRBY', KEYS[1], 'bytes', -batch.bytes)
local reason = was_there and ARGV[2] or 'vanished'
count_drop(KEYS[1], reason, batch.events)
note_outcome(noting, KEYS[7], ARGV[1], reason, batch.events, batch.sealed)
return { batch.events, was_there and 0 or batch.events }
