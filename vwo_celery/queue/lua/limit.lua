-- limit.lua: set the limits that a shard's scripts obey, and name the shard's life.
-- A life begins with the first registration and ends when Redis forgets the shard: restarted empty, flushed.
-- A caller from an earlier life has the end of that life noted.
-- KEYS[1]  meta    HASH  limits and counters
-- ARGV[1]  the life that the caller knows, '' for none
-- ARGV[2]  name for a new life
-- ARGV[3+] field, value, field, value, …
-- Returns  the name of this life.
-- Cost     O(1).
--@include clock
--@include room
take_room_back(KEYS[1]) -- it was granted under the previous limits
redis.call('HSETNX', KEYS[1], 'life', ARGV[2])
local life = redis.call('HGET', KEYS[1], 'life')
if ARGV[1] ~= '' and ARGV[1] ~= life then redis.call('HSETNX', KEYS[1], 'forgotten_ms', now_ms()) end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return life
