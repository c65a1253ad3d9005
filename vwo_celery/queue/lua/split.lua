-- split.lua: settle each part of a leased batch in its own way.
-- A part is a set of ranges of the batch's events, oldest first. Delivered events are counted and forgotten;
-- every other part becomes a batch of its own, ready or dead. Safe to run twice: by then the batch is gone.
-- Events that another program pushed into the batch since it was sealed are accepted here; parts hold them too.
-- KEYS[1]  meta    HASH  counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases  ZSET  batch id -> lease expiry
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  dead    ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[6]  batch   LIST  its events
-- KEYS[7]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[8]  births  ZSET  see shared/indexes.lua
-- KEYS[9]  released ZSET see shared/indexes.lua
-- KEYS[10] tally   HASH  see shared/tally.lua
-- KEYS[11] traced  HASH  see shared/contexts.lua; a part keeps the contexts of the whole
-- KEYS[12+] batch  LIST  names for the parts, in order
-- ARGV[1]  batch id
-- ARGV[2]  attempt under which the caller claimed it
-- ARGV[3]  number of events delivered
-- ARGV[4+] of each part: 'ready' or 'dead', events, bytes, delay in ms, why, number of ranges k, and k times
--          the first event of a range and the one after its last, counted from 0 for the oldest; then what the caller counted,
--          see shared/tally.lua
-- Returns  1 if it was the caller's, 0 if it had been settled or reclaimed.
-- Cost     O(n), n = events of the batch; those of a part that is one long range do not pass through Lua.
--@include clock
--@include in_index
--@include indexes
--@include info
--@include outcome
--@include ranges
--@include taken
--@include room
--@include tally
local batch, line = read_info(KEYS[4], ARGV[1])
if not batch or batch.attempt ~= tonumber(ARGV[2]) then return 0 end
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 0 end

local parts, i, sum = {}, 4, tonumber(ARGV[3])
for name = 12, #KEYS do
  local part = { key = KEYS[name], fate = ARGV[i], events = tonumber(ARGV[i + 1]), bytes = ARGV[i + 2],
                 delay = tonumber(ARGV[i + 3]), error = ARGV[i + 4], ranges = {} }
  for j = 1, tonumber(ARGV[i + 5]) do
    part.ranges[j] = { tonumber(ARGV[i + 4 + 2 * j]), tonumber(ARGV[i + 5 + 2 * j]) }
  end
  i, sum = i + 6 + 2 * #part.ranges, sum + part.events
  parts[#parts + 1] = part
end
local length = redis.call('LLEN', KEYS[6])
local foreign = math.max(0, length - batch.events)
if sum ~= batch.events + foreign then return redis.error_reply('ERR the parts are not the batch') end
if length < sum then return redis.error_reply('ERR ' .. sum - length .. ' events of it are gone') end

-- What was counted of the batch goes, and what stays is counted anew: its size may have been wrong, where
-- somebody changed the open list.
local now, gone, bytes = now_ms(), tonumber(ARGV[3]), batch.bytes
-- A command that Redis denies must leave the batch as it was: each is tried before the first part counts.
redis.call('ZREM', KEYS[3], '') -- allowed when out of memory, as are all writes after it
redis.call('HDEL', KEYS[4], '')
redis.call('HSET', KEYS[4], ARGV[1], line)
redis.call('HINCRBY', KEYS[1], 'events', 0)
redis.call('ZADD', KEYS[2], 'XX', 0, '')
redis.call('ZADD', KEYS[5], 'XX', 0, '')
local noting = try_to_note(KEYS[1], KEYS[7])
if foreign > 0 then take_room_back(KEYS[1]) end -- `accepted` rises: it would no longer tell what is counted
local function drop_copies()
  for _, part in ipairs(parts) do redis.call('UNLINK', part.key) end
end
drop_copies()
local copied, denied = pcall(function()
  for _, part in ipairs(parts) do copy_ranges(KEYS[6], part.key, length, part.ranges) end
end)
if not copied then
  drop_copies()
  error(denied)
end

local contexts = redis.pcall('HGET', KEYS[11], ARGV[1])
for _, part in ipairs(parts) do
  local id = string.match(part.key, 'batch:(.*)$')
  if type(contexts) == 'string' then redis.pcall('HSET', KEYS[11], id, contexts) end
  -- What waits for a delay has failed with the whole.
  local new = { attempt = part.fate == 'ready' and part.delay > 0 and 1 or 0, lost = batch.lost,
                events = part.events, bytes = part.bytes, first = batch.first, sealed = batch.sealed,
                error = part.error }
  write_info(KEYS[4], id, new)
  if part.fate == 'dead' then
    redis.call('ZADD', KEYS[5], now, id)
    redis.call('HINCRBY', KEYS[1], 'dead', part.events)
    note_outcome(noting, KEYS[7], id, 'dead', part.events, batch.sealed)
    gone = gone + part.events
  else
    bytes = bytes - part.bytes
    -- Without a delay, in its old place among the ready batches.
    redis.call('ZADD', KEYS[2], part.delay > 0 and now + part.delay or math.min(now, batch.sealed), id)
    in_index(redis.pcall('ZADD', KEYS[8], batch.first, id))
    if has_failed(new) then enter_released(KEYS[9], KEYS[1], id, new) end
  end
end
redis.call('ZREM', KEYS[3], ARGV[1])
in_index(redis.pcall('ZREM', KEYS[8], ARGV[1]))
leave_released(KEYS[9], KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.pcall('HDEL', KEYS[11], ARGV[1])
redis.call('UNLINK', KEYS[6])
if foreign > 0 then redis.call('HINCRBY', KEYS[1], 'accepted', foreign) end
redis.call('HINCRBY', KEYS[1], 'events', foreign - gone) -- "-0" is no integer to Redis
redis.call('HINCRBY', KEYS[1], 'bytes', 0 - bytes)
if tonumber(ARGV[3]) > 0 then
  redis.call('HINCRBY', KEYS[1], 'delivered', ARGV[3])
  redis.call('HSET', KEYS[1], 'delivered_ms', now)
  redis.call('HDEL', KEYS[1], 'failing_ms')
  note_outcome(noting, KEYS[7], ARGV[1], 'delivered', ARGV[3], batch.sealed)
end
tally_given(KEYS[10], i)
return 1
