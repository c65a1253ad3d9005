-- free.lua: end a pause or a hold, and note the time: batches that waited for it count as late from then.
-- KEYS[1]  meta    HASH  limits and counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- ARGV[1]  'paused' or 'held_until'
-- ARGV[2]  1 to make released batches due at once; else 0
-- Returns  1 if there was one, else 0.
-- Cost     O(m log n), n = batches, m = those made due: at most MOST_HASTENED.
--@include clock
local MOST_HASTENED = 1000
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local now = now_ms()
redis.call('HSET', KEYS[1], 'free_since_ms', now)
redis.call('HDEL', KEYS[1], ARGV[1])
if ARGV[1] == 'paused' then
  redis.call('HDEL', KEYS[1], 'paused_ms', 'paused_by', 'paused_who')
  redis.call('HDEL', KEYS[1], 'paused_also', 'paused_also_ms', 'paused_also_by', 'paused_also_who')
else
  redis.call('HDEL', KEYS[1], 'held_ms', 'held_by', 'held_why')
end
if ARGV[2] == '1' then
  local waiting = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf', 'LIMIT', 0, MOST_HASTENED)
  for _, id in ipairs(waiting) do redis.call('ZADD', KEYS[2], now, id) end
end
return 1
