-- permit.lua: may a batch be sent to a destination now? While its circuit is open, one probe at a time may.
-- KEYS[1]  circuit  HASH  see trip.lua
-- ARGV[1]  token of this probe, unique to it
-- ARGV[2]  how long a probe may take, ms
-- Returns  {answer, until}: 1 the circuit is closed; 2 this is the probe; 0 not now, ask again at until, Unix ms.
-- Cost     O(1).
--@include clock
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local SLIP_MS, KEPT_MS = 1000, 3600000
local LONGEST_MS = 86460000 -- a minute more than the longest wait that the settings allow
local c = redis.call('HMGET', KEYS[1], 'until_ms', 'probe_until_ms', 'opened_ms', 'probed_ms')
if not c[1] then return { 1, 0 } end
local now, probe_ms = now_ms(), tonumber(ARGV[2])

local function believed(until_ms, given_ms)
  -- A wait that was given in the future shows that Redis' clock stepped back: it is over. Workers of 0.1 do
  -- not note when they gave it.
  local stepped_back = (given_ms or 0) - SLIP_MS > now or (until_ms or 0) - LONGEST_MS > now
  return stepped_back and 0 or tonumber(until_ms or 0)
end

local next_ms = math.max(believed(c[1], c[3]), believed(c[2], c[4]))
if next_ms > now then return { 0, next_ms } end
redis.call('HSET', KEYS[1], 'probe', ARGV[1], 'probe_until_ms', now + probe_ms, 'probed_ms', now)
redis.call('PEXPIRE', KEYS[1], KEPT_MS + probe_ms)
return { 2, now + probe_ms }
