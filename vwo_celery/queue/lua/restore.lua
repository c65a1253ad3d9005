-- restore.lua: put right what else is only kept right: batches that are nowhere, and the sets of a look.
-- A batch with a line in info that is in none of the three sets is stranded, and becomes ready again. Only a
-- script that stopped in its middle strands a batch, as one of an older release without a command.
-- Older releases do not keep births and released; what they left out is entered, what they left in goes.
-- Each call looks at a part of each; the next call goes on from there.
-- KEYS[1]  meta    HASH  limits and counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases  ZSET  batch id -> lease expiry
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  dead    ZSET  batch id -> dead-lettered at
-- KEYS[6]  births  ZSET  see shared/indexes.lua
-- KEYS[7]  released ZSET see shared/indexes.lua
-- ARGV[1]  number of lines to look at, about
-- Returns  {restored, mended}: the number of batches made ready, and of entries of the sets put right.
-- Cost     O(k log n), k = lines looked at, n = batches.
--@include clock
--@include in_index
--@include indexes
--@include info
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
local restored, mended, now = 0, 0, now_ms()

local function cursor(field) return string.match(redis.call('HGET', KEYS[1], field) or '', '^%d+$') or 0 end

local function members(scanned, field)
  redis.call('HSET', KEYS[1], field, scanned[1])
  return scanned[2]
end

local function mend_births(id, lives, batch)
  local noted = in_index(redis.pcall('ZSCORE', KEYS[6], id))
  if lives and tonumber(noted) ~= tonumber(batch.first) then
    in_index(redis.pcall('ZADD', KEYS[6], batch.first, id))
  elseif not lives and noted then
    redis.call('ZREM', KEYS[6], id)
  else
    return
  end
  mended = mended + 1
end

local function mend_released(id, waits, batch)
  local noted = in_index(redis.pcall('ZSCORE', KEYS[7], id))
  if waits and tonumber(noted) ~= batch.attempt * RELEASED_UNIT + batch.events then
    enter_released(KEYS[7], KEYS[1], id, batch)
  elseif not waits and noted then
    leave_released(KEYS[7], KEYS[1], id)
  else
    return
  end
  mended = mended + 1
end

local function look_at(id, line)
  local ready, leased = redis.call('ZSCORE', KEYS[2], id), redis.call('ZSCORE', KEYS[3], id)
  if line and not ready and not leased and not redis.call('ZSCORE', KEYS[5], id) then
    redis.call('ZADD', KEYS[2], now, id)
    restored, ready = restored + 1, now
  end
  local batch = line and parse_info(line)
  if line and not batch then return end -- of a later release, which keeps the sets itself
  mend_births(id, batch and (ready or leased), batch)
  mend_released(id, batch and ready and has_failed(batch), batch)
end

local lines = members(redis.call('HSCAN', KEYS[4], cursor('restore_cursor'), 'COUNT', ARGV[1]), 'restore_cursor')
for i = 1, #lines, 2 do look_at(lines[i], lines[i + 1]) end
for _, set in ipairs({ { KEYS[6], 'births_cursor' }, { KEYS[7], 'released_cursor' } }) do
  local scanned = in_index(redis.pcall('ZSCAN', set[1], cursor(set[2]), 'COUNT', ARGV[1]))
  local found = scanned and members(scanned, set[2]) or {}
  for i = 1, #found, 2 do look_at(found[i], redis.call('HGET', KEYS[4], found[i])) end
end
if restored > 0 then
  redis.call('HINCRBY', KEYS[1], 'repaired', restored)
  redis.call('HSET', KEYS[1], 'repaired_ms', now)
end
return { restored, mended }
