-- extend.lua: renew a lease, counted from now.
-- KEYS[1]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[2]  info    HASH  batch id -> its line
-- ARGV[1]  batch id
-- ARGV[2]  attempt under which the caller claimed it
-- ARGV[3]  lease, ms
-- Returns  the new expiry, Unix ms; 0 if the batch had been settled or reclaimed.
-- Cost     O(log n), n = batches.
--@include clock
--@include info
redis.call('ZREM', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local batch = read_info(KEYS[2], ARGV[1])
if not batch or batch.attempt ~= tonumber(ARGV[2]) then return 0 end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local until_ms = now_ms() + tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], 'XX', until_ms, ARGV[1])
return until_ms
