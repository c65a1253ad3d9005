-- forgo.lua: make sure that a batch which was to arrive never does, unless it has.
-- KEYS[1]  arrived  ZSET  batch id -> its trace
-- KEYS[2]  staged   LIST  its events so far
-- ARGV[1]  batch id
-- ARGV[2]  time for which that holds, ms
-- Returns  1 if it will not arrive, 0 if it has arrived.
-- Cost     O(log n), n = traces.
--@include arrivals
--@include clock
local trace = redis.call('ZSCORE', KEYS[1], ARGV[1])
if trace and tonumber(trace) > 0 then return 0 end
local now = now_ms()
redis.call('ZREM', KEYS[1], '') -- allowed when out of memory, as are all writes after it
forget_old_arrivals(KEYS[1], now)
redis.call('ZADD', KEYS[1], -(now + ARGV[2]), ARGV[1])
redis.call('UNLINK', KEYS[2])
return 1
