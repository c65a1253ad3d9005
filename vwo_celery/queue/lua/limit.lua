-- limit.lua: set the limits that a shard's scripts obey, and name the shard's life.
-- A life begins with the first registration and ends when Redis forgets the shard: restarted empty, flushed.
-- A caller from an earlier life has the end of that life noted. A shard that an operator forgot goes on in the
-- life that it had: nothing was lost. When the first one registered is kept, since metrics name that many first.
-- KEYS[1]  meta    HASH    limits and counters
-- KEYS[2]  former  STRING  the life of a shard that an operator forgot, see forget.lua
-- ARGV[1]  the life that the caller knows, '' for none
-- ARGV[2]  name for a new life
-- ARGV[3+] field, value, field, value, …
-- Returns  the name of this life.
-- Cost     O(1).
--@include clock
--@include taken
--@include room
take_room_back(KEYS[1]) -- it was granted under the previous limits
local found = redis.call('HMGET', KEYS[1], 'life', 'batch_events')
local life = found[1]
if not life then
  local former = redis.call('GET', KEYS[2])
  life = former or ARGV[2]
  redis.call('HSETNX', KEYS[1], 'life', life)
  redis.call('HSETNX', KEYS[1], 'begun_ms', now_ms())
  if former then redis.call('SET', KEYS[2], '', 'PXAT', 1) end -- another loss is one of Redis'
end
if ARGV[1] ~= '' and ARGV[1] ~= life then redis.call('HSETNX', KEYS[1], 'forgotten_ms', now_ms()) end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
if found[2] then -- a limit that the caller does not give ends
  local given = false
  for i = 3, #ARGV, 2 do given = given or ARGV[i] == 'batch_events' end
  if not given then redis.call('HDEL', KEYS[1], 'batch_events') end
end
return life
