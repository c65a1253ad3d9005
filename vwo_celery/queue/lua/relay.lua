-- relay.lua: note what a process of a relay is and has done; and forget those that were silent for long, or are too
-- many.
-- KEYS[1]  relays       ZSET  process -> Unix ms at which it last told of itself
-- KEYS[2]  relay_cards  HASH  process -> its card
-- ARGV[1]  process
-- ARGV[2]  its card
-- ARGV[3]  time after which a silent process is forgotten, ms
-- ARGV[4]  most processes that are remembered
-- Returns  how many were forgotten.
-- Cost     O(log n + k), n = processes, k = those forgotten.
--@include clock
local now = now_ms()
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) -- denied when out of memory, before anything is written
redis.call('ZADD', KEYS[1], now, ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1 - ARGV[4])) do gone[#gone + 1] = name end
for _, name in ipairs(gone) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return #gone
