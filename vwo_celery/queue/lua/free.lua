-- free.lua: end a pause or a hold, and note the time: batches that waited for it count as late from then.
-- KEYS[1]  meta    HASH  limits and counters
-- ARGV[1]  'paused' or 'held_until'
-- Returns  1 if there was one, else 0.
-- Cost     O(1).
--@include clock
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end -- never denied, see claim.lua
redis.call('HSET', KEYS[1], 'free_since_ms', now_ms())
return 1
