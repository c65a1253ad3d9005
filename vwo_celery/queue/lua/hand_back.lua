-- hand_back.lua: undo a claim because the worker is stopping.
-- The attempt is not counted, so the next claim has the same number. The caller must therefore name the
-- lease by its expiry, and must not settle the batch afterwards.
-- KEYS[1]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[2]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[3]  info    HASH  batch id -> its line
-- KEYS[4]  meta    HASH  counters
-- KEYS[5]  released ZSET see shared/indexes.lua
-- KEYS[6]  tally   HASH  see shared/tally.lua
-- ARGV[1]  batch id
-- ARGV[2]  attempt under which the caller claimed it
-- ARGV[3]  expiry of the caller's lease, Unix ms
-- ARGV[4+] what the caller counted, see shared/tally.lua
-- Returns  1 if it was the caller's to give back, 0 if it had been settled or reclaimed.
-- Cost     O(log n), n = batches.
--@include clock
--@include in_index
--@include indexes
--@include info
--@include tally
local batch = read_info(KEYS[3], ARGV[1])
if not batch or batch.attempt ~= tonumber(ARGV[2]) then return 0 end
local lease = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not lease or tonumber(lease) ~= tonumber(ARGV[3]) then return 0 end
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
batch.attempt = batch.attempt - 1
if has_failed(batch) then redis.call('HINCRBY', KEYS[4], 'released_events', 0) end -- if denied, it is still leased
write_info(KEYS[3], ARGV[1], batch)
redis.call('ZADD', KEYS[1], math.min(now_ms(), batch.sealed), ARGV[1]) -- its old place among those that wait
redis.call('ZREM', KEYS[2], ARGV[1])
if has_failed(batch) then enter_released(KEYS[5], KEYS[4], ARGV[1], batch) end
tally_given(KEYS[6], 4)
return 1
