-- release.lua: give a lease back; the batch may be claimed again after a delay.
-- KEYS[1]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[2]  leases  ZSET  batch id -> lease expiry
-- KEYS[3]  info    HASH  batch id -> its line
-- ARGV[1]  batch id
-- ARGV[2]  attempt under which the caller claimed it
-- ARGV[3]  delay, ms
-- ARGV[4]  why, shown to operators
-- Returns  1 if it was the caller's to give back, 0 if it had been settled or reclaimed.
-- Cost     O(log n), n = batches.
--@include clock
--@include info
local batch = read_info(KEYS[3], ARGV[1])
if not batch or batch.attempt ~= tonumber(ARGV[2]) then return 0 end
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
batch.error = ARGV[4]
write_info(KEYS[3], ARGV[1], batch)
redis.call('ZADD', KEYS[1], now_ms() + tonumber(ARGV[3]), ARGV[1]) -- if denied, it is still leased
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
