-- tell.lua: is it time to say that a destination does not accept? Once when that begins, once when its circuit
-- opens, then once in a while; one worker of the fleet is told so.
-- KEYS[1]  circuit  HASH  see trip.lua; told_ms, told_open: when it was said last, and 1 if it was open then
-- ARGV[1]  shortest time after which it is said again, ms; it doubles
-- ARGV[2]  longest such time, ms
-- Returns  {since, now}, Unix ms, if it is to be said; else {}.
-- Cost     O(1).
--@include clock
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local c = redis.call('HMGET', KEYS[1], 'since_ms', 'until_ms', 'told_ms', 'told_open')
if not c[1] then return {} end
local now, open = now_ms(), c[2] and '1' or '0'
local told = tonumber(c[3] or 0)
local passed = now - told
local pause = math.max(tonumber(ARGV[1]), math.min(told - tonumber(c[1]), tonumber(ARGV[2])))
-- Below 0 where Redis' clock stepped back.
if c[3] and c[4] == open and passed >= 0 and passed < pause then return {} end
redis.call('HSET', KEYS[1], 'told_ms', now, 'told_open', open)
return { tonumber(c[1]), now }
