-- suspect.lua: note when VWO first refused a batch of one event; also when Redis is out of memory.
-- KEYS[1]  suspect  STRING  Unix ms of the first refusal
-- ARGV[1]  Unix ms of this refusal
-- ARGV[2]  how long a note is kept, ms
-- Returns  Unix ms of the first refusal that is noted.
-- Cost     O(1).
local first = redis.call('GET', KEYS[1])
if first then return tonumber(first) end
redis.call('UNLINK', KEYS[1]) -- allowed when out of memory, as are all writes after it
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return tonumber(ARGV[1])
