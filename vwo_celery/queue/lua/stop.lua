-- stop.lua: let nothing be claimed from a shard; note since when, why and by whom.
-- A stop that is renewed keeps the time at which it began. Where all workers decline a shard that an open
-- circuit holds as well, the circuit's reason stays: the hold lasts once a worker may send.
-- KEYS[1]  meta    HASH  limits and counters
-- ARGV[1]  'paused' or 'held_until'
-- ARGV[2]  why it is paused; or the Unix ms until which it is held
-- ARGV[3+] field, value, field, value, …: what is known about it
-- ARGV[4]  the first of these values: of a hold, its cause
-- Returns  1.
-- Cost     O(1).
--@include clock
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local since = ARGV[1] == 'paused' and 'paused_ms' or 'held_ms'
local is_new, by = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0, redis.call('HGET', KEYS[1], 'held_by')
if is_new then
  redis.call('HDEL', KEYS[1], since, unpack(since == 'held_ms' and { 'held_by', 'held_why' } or {}))
end
redis.call('HSETNX', KEYS[1], since, now_ms())
local keeps = not is_new and ARGV[4] == 'workers' and by and by ~= 'workers'
redis.call('HSET', KEYS[1], unpack(ARGV, 1, keeps and 2 or #ARGV))
return 1
