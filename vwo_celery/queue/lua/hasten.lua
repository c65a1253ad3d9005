-- hasten.lua: make batches that wait for their next attempt due at once, at an operator's request.
-- KEYS[1]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[2]  info    HASH  batch id -> its line
-- ARGV[1+] batches; none for those that are due first, at most MOST_HASTENED in one call
-- Returns  {batches, events}: how many were made due, and the number of their events.
-- Cost     O(k log n), k = batches made due, n = batches.
--@include clock
--@include info
local MOST_HASTENED = 500
redis.call('ZREM', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local now, batches, events = now_ms(), 0, 0
local ids = ARGV
if #ARGV == 0 then ids = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'LIMIT', 0, MOST_HASTENED) end
for _, id in ipairs(ids) do
  local due = redis.call('ZSCORE', KEYS[1], id)
  if due and tonumber(due) > now then
    local batch = read_info(KEYS[2], id)
    redis.call('ZADD', KEYS[1], now, id)
    batches, events = batches + 1, events + (batch and batch.events or 0)
  end
end
return { batches, events }
