-- unwatch.lua: let the sweep forget a shard, if it still holds nothing.
-- The next enqueue then makes the shard known again.
-- KEYS[1]  open    LIST  the list being filled
-- KEYS[2]  meta    HASH  limits and counters
-- KEYS[3]  ready   ZSET  batch id -> visible from
-- KEYS[4]  leases  ZSET  batch id -> lease expiry
-- ARGV     none
-- Returns  1 if it may be forgotten, 0 if something came in meanwhile.
-- Cost     O(1).
--@include taken
--@include room
if redis.call('EXISTS', KEYS[1], KEYS[3], KEYS[4]) > 0 then return 0 end
redis.call('HDEL', KEYS[2], 'watched')
take_room_back(KEYS[2]) -- append.lua announces nothing; there is room only if somebody deleted the list
return 1
