-- mend.lua: end a probe; close the circuit if the destination answered. Without a probe: forget the failures in
-- a row that a log told of, if the circuit is not open, since the destination accepts.
-- KEYS[1]  circuit  HASH  see trip.lua and tell.lua
-- ARGV[1]  token of the caller's probe, '' if it was none
-- ARGV[2]  1 if the destination answered, 0 if nothing was sent after all
-- Returns  {1 if the circuit is closed now, else 0; since when it had not accepted, if a log told of it and this
--          ends it, else 0; now}, Unix ms.
-- Cost     O(1).
--@include clock
local c = redis.call('HMGET', KEYS[1], 'probe', 'until_ms', 'since_ms', 'told_ms')
local mine = ARGV[1] ~= '' and c[1] == ARGV[1]
if mine and ARGV[2] ~= '1' then
  redis.call('HDEL', KEYS[1], 'probe', 'probe_until_ms', 'probed_ms')
  return { 0, 0, 0 }
end
if c[2] and not mine then return { 0, 0, 0 } end
if ARGV[2] ~= '1' or not (mine or c[4]) then return { 1, 0, 0 } end
local now = now_ms()
redis.call('DEL', KEYS[1])
return { 1, c[4] and tonumber(c[3] or 0) or 0, now }
