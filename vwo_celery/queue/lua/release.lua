-- release.lua: give a lease back; the batch may be claimed again after a delay.
-- KEYS[1]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[2]  leases  ZSET  batch id -> lease expiry
-- KEYS[3]  info    HASH  batch id -> its line
-- KEYS[4]  meta    HASH  counters, and since when VWO accepts nothing
-- KEYS[5]  released ZSET see shared/indexes.lua
-- KEYS[6]  tally   HASH  see shared/tally.lua
-- ARGV[1]  batch id
-- ARGV[2]  attempt under which the caller claimed it
-- ARGV[3]  delay, ms
-- ARGV[4]  why, shown to operators
-- ARGV[5]  1 if VWO did not accept it, 0 if it was not asked
-- ARGV[6+] what the caller counted, see shared/tally.lua
-- Returns  1 if it was the caller's to give back, 0 if it had been settled or reclaimed.
-- Cost     O(log n), n = batches.
--@include clock
--@include in_index
--@include indexes
--@include info
--@include tally
local batch = read_info(KEYS[3], ARGV[1])
if not batch or batch.attempt ~= tonumber(ARGV[2]) then return 0 end
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
batch.error = ARGV[4]
local now = now_ms()
write_info(KEYS[3], ARGV[1], batch)
redis.call('HINCRBY', KEYS[4], 'released_events', 0) -- if this or one of the next is denied, it is still leased
if ARGV[5] == '1' then
  redis.call('HSETNX', KEYS[4], 'failing_ms', now)
  redis.call('HSET', KEYS[4], 'failed_ms', now, 'failed_why', ARGV[4])
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if has_failed(batch) then enter_released(KEYS[5], KEYS[4], ARGV[1], batch) end
tally_given(KEYS[6], 6)
return 1
