-- flush.lua: begin to watch a shard for a flush: ask for notes on batches that are settled, and count.
-- The flush waits for what was sealed before this moment and is neither dead nor settled. Of the same
-- millisecond it waits only for the batches that this script names.
-- KEYS[1]  meta    HASH  counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[6]  dead    ZSET  batch id -> dead-lettered at, Unix ms
-- ARGV[1]  time for which notes are wanted, ms
-- Returns  {now, events sealed and not settled, events delivered so far, batches sealed in this millisecond,
--          notes left in this millisecond, dead letters of this millisecond}
-- Cost     O(log n + k), n = batches, k = batches in flight, and of this millisecond at most MOST_TWINS.
--@include clock
--@include info
local MOST_TWINS = 1000
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local now = now_ms()
redis.call('HSET', KEYS[1], 'flush_until', string.format('%d', now + ARGV[1]))
local m = redis.call('HMGET', KEYS[1], 'events', 'open_events', 'delivered')
local sealed = (tonumber(m[1] or 0) or 0) - (tonumber(m[2] or 0) or 0)
if redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3]) == 0 then sealed = 0 end

local twins = {}
local function add_twins(ids)
  for _, id in ipairs(ids) do
    local batch = read_info(KEYS[4], id)
    if batch and tonumber(batch.sealed) == now then twins[#twins + 1] = id end
  end
end
add_twins(redis.call('ZRANGEBYSCORE', KEYS[2], now, now, 'LIMIT', 0, MOST_TWINS))
add_twins(redis.call('ZRANGE', KEYS[3], 0, -1))
return { now, math.max(0, sealed), tonumber(m[3] or 0) or 0, twins,
  redis.call('ZRANGEBYSCORE', KEYS[5], now, now), redis.call('ZRANGEBYSCORE', KEYS[6], now, now) }
