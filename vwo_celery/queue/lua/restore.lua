-- restore.lua: make stranded batches ready again: they have a line in info and are in none of the three sets.
-- Only a script that stopped in its middle strands a batch, as one of an older release without a command.
-- Each call looks at a part of the hash; the next call goes on from there.
-- KEYS[1]  meta    HASH  limits and counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases  ZSET  batch id -> lease expiry
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  dead    ZSET  batch id -> dead-lettered at
-- ARGV[1]  number of lines to look at, about
-- Returns  the number of batches made ready.
-- Cost     O(k log n), k = lines looked at, n = batches.
--@include clock
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
local cursor = string.match(redis.call('HGET', KEYS[1], 'restore_cursor') or '', '^%d+$') or 0
local scanned = redis.call('HSCAN', KEYS[4], cursor, 'COUNT', ARGV[1])
local restored, now = 0, now_ms()
for i = 1, #scanned[2], 2 do
  local id, placed = scanned[2][i], false
  for _, set in ipairs({ KEYS[2], KEYS[3], KEYS[5] }) do
    placed = placed or redis.call('ZSCORE', set, id)
  end
  if not placed then
    redis.call('ZADD', KEYS[2], now, id)
    restored = restored + 1
  end
end
redis.call('HSET', KEYS[1], 'restore_cursor', scanned[1])
return restored
