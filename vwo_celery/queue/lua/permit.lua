-- permit.lua: may a batch be sent to a destination now? While its circuit is open, one probe at a time may.
-- KEYS[1]  circuit  HASH  failures, since_ms, until_ms, openings; probe, probe_until_ms while one is out
-- ARGV[1]  token of this probe, unique to it
-- ARGV[2]  how long a probe may take, ms
-- ARGV[3]  longest time that a circuit may be open without a probe, ms; a time further ahead means that
--          Redis' clock stepped back
-- Returns  {answer, until}: 1 the circuit is closed; 2 this is the probe; 0 not now, ask again at until, Unix ms.
-- Cost     O(1).
--@include clock
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local c = redis.call('HMGET', KEYS[1], 'until_ms', 'probe_until_ms')
if not c[1] then return { 1, 0 } end
local now, horizon = now_ms(), tonumber(ARGV[3])
local function believed(ms) return tonumber(ms or 0) <= now + horizon and tonumber(ms or 0) or 0 end
local next_ms = math.max(believed(c[1]), believed(c[2]))
if next_ms > now then return { 0, next_ms } end
redis.call('HSET', KEYS[1], 'probe', ARGV[1], 'probe_until_ms', now + tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], horizon + tonumber(ARGV[2]))
return { 2, now + tonumber(ARGV[2]) }
