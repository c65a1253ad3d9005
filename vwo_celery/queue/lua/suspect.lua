-- suspect.lua: note that VWO refused a batch; also when Redis is out of memory.
-- KEYS[1]  suspect  STRING  Unix ms of the last refusal
-- ARGV[1]  how long a note is kept, ms
-- Returns  Unix ms of the refusal before this one, 0 if none is noted.
-- Cost     O(1).
--@include clock
local before = redis.call('GET', KEYS[1])
redis.call('UNLINK', KEYS[1]) -- allowed when out of memory, as are all writes after it
redis.call('SET', KEYS[1], now_ms(), 'PX', ARGV[1])
return tonumber(before or 0)
