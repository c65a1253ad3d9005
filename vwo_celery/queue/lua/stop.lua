-- stop.lua: let nothing be claimed from a shard; note since when, why and by whom.
-- A stop that is renewed keeps the time at which it began.
-- KEYS[1]  meta    HASH  limits and counters
-- ARGV[1]  'paused' or 'held_until'
-- ARGV[2]  why it is paused; or the Unix ms until which it is held
-- ARGV[3+] field, value, field, value, …: what is known about it
-- Returns  1.
-- Cost     O(1).
--@include clock
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local since = ARGV[1] == 'paused' and 'paused_ms' or 'held_ms'
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  redis.call('HDEL', KEYS[1], since, since == 'held_ms' and 'held_why' or '')
end
redis.call('HSETNX', KEYS[1], since, now_ms())
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
