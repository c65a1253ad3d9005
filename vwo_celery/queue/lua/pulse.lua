-- pulse.lua: note a sign of life, and how far task messages have come.
-- The messages of one route, a Celery queue of one broker, come out in the order in which they went in.
-- KEYS[1]  pulse   HASH  signs of life
-- ARGV[1]  the sign, whose time is noted; '' for none
-- ARGV[2]  the route of a message, '' for none
-- ARGV[3]  time at which that message was published, Unix ms, if a task starts with it; 0 if it is
--          published now
-- Returns  now, Unix ms: the time of publishing that a message carries.
-- Cost     O(1).
--@include clock
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local now, route, published = now_ms(), ARGV[2], tonumber(ARGV[3])
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], ARGV[1], now) end
if route == '' then return now end
if published == 0 then
  redis.call('HSET', KEYS[1], 'published:' .. route, now)
else
  -- A time to come shows that the clock stepped back; the note of an older message is never newer.
  local started = tonumber(redis.call('HGET', KEYS[1], 'started:' .. route) or 0)
  if published > started or started > now then
    redis.call('HSET', KEYS[1], 'started:' .. route, published)
  end
  redis.call('HSET', KEYS[1], 'waited:' .. route, math.max(0, now - published))
end
return now
