-- limit.lua: set the limits that a shard's scripts obey.
-- KEYS[1]  meta    HASH  limits and counters
-- ARGV[1+] field, value, field, value, …
-- Returns  1.
-- Cost     O(1).
--@include room
take_room_back(KEYS[1]) -- it was granted under the limits before
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
