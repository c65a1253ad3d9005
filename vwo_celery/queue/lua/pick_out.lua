-- pick_out.lua: take single events out of a dead-lettered batch, to be sent again or dropped; the rest stays dead.
-- A batch never changes: the rest, and what is sent again, become batches of their own, and the batch is gone.
-- KEYS[1]  meta    HASH  counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  info    HASH  batch id -> its line
-- KEYS[4]  dead    ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[5]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[6]  births  ZSET  see shared/indexes.lua
-- KEYS[7]  batch   LIST  its events
-- KEYS[8]  batch   LIST  name for the events that are sent again
-- KEYS[9]  batch   LIST  name for the rest
-- KEYS[10] tally   HASH  see shared/tally.lua
-- KEYS[11] traced  HASH  see shared/contexts.lua; each part keeps the contexts of the whole
-- ARGV[1]  batch id
-- ARGV[2]  '' to send the events again; else the reason, one word, under which they are counted as dropped
-- ARGV[3+] ranges of events, ascending: the first event of each and the one after its last, counted from 0
--          for the oldest
-- Returns  the number of events picked out; 0 if the batch was not among the dead letters; minus the number of
--          its events that are gone from Redis, if any is.
-- Cost     O(n), n = events of the batch; the rest does not pass through Lua where it is one long range.
--@include clock
--@include drops
--@include in_index
--@include info
--@include outcome
--@include ranges
--@include taken
--@include room
--@include tally
local batch, line = read_info(KEYS[3], ARGV[1])
local died = batch and redis.call('ZSCORE', KEYS[4], ARGV[1])
if not died then return 0 end
local missing = batch.events - redis.call('LLEN', KEYS[7])
if missing ~= 0 then return 0 - math.abs(missing) end

local picked, rest, events, last = {}, {}, 0, 0
for i = 3, #ARGV, 2 do
  local from, to = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  if from < last or to <= from or to > batch.events then
    return redis.error_reply('ERR the batch has no such events')
  end
  if from > last then rest[#rest + 1] = { last, from } end
  picked[#picked + 1], events, last = { from, to }, events + to - from, to
end
if last < batch.events then rest[#rest + 1] = { last, batch.events } end
if events == 0 then return 0 end

local bytes, now = 0, now_ms()
for _, range in ipairs(picked) do
  for start = batch.events - range[2], batch.events - 1 - range[1], LARGEST_UNPACK do
    local to = math.min(start + LARGEST_UNPACK - 1, batch.events - 1 - range[1])
    for _, event in ipairs(redis.call('LRANGE', KEYS[7], start, to)) do bytes = bytes + #event + 1 end
  end
end

-- A command that Redis denies must leave the batch as it was: each is tried before the first part counts.
redis.call('ZREM', KEYS[4], '') -- allowed when out of memory, as are all writes after it
take_room_back(KEYS[1]) -- the queue is fuller now than when it was granted
redis.call('HDEL', KEYS[3], '')
redis.call('HSET', KEYS[3], ARGV[1], line)
redis.call('HINCRBY', KEYS[1], 'dead', 0)
redis.call('ZADD', KEYS[4], 'XX', 0, '')
local noting = ARGV[2] ~= '' and try_to_note(KEYS[1], KEYS[5])
redis.call('UNLINK', KEYS[8], KEYS[9])
local copied, denied = pcall(function()
  if ARGV[2] == '' then copy_ranges(KEYS[7], KEYS[8], batch.events, picked) end
  if #rest > 0 then copy_ranges(KEYS[7], KEYS[9], batch.events, rest) end
end)
if not copied then
  redis.call('UNLINK', KEYS[8], KEYS[9])
  error(denied)
end

local function id_of(key) return string.match(key, 'batch:(.*)$') end
local contexts = redis.pcall('HGET', KEYS[11], ARGV[1])
local function keep_contexts(id)
  if type(contexts) == 'string' then redis.pcall('HSET', KEYS[11], id, contexts) end
end
if #rest > 0 then
  keep_contexts(id_of(KEYS[9]))
  write_info(KEYS[3], id_of(KEYS[9]), {
    attempt = batch.attempt, lost = batch.lost, events = batch.events - events,
    bytes = math.max(0, batch.bytes - bytes), first = batch.first, sealed = batch.sealed, error = batch.error })
  redis.call('ZADD', KEYS[4], died, id_of(KEYS[9]))
end
if ARGV[2] == '' then
  local id = id_of(KEYS[8])
  keep_contexts(id)
  write_info(KEYS[3], id, { attempt = batch.attempt, lost = 0, events = events, bytes = bytes, first = batch.first,
                            sealed = now, error = '' }) -- its age is counted from here, as after a redrive
  redis.call('ZADD', KEYS[2], now, id)
  in_index(redis.pcall('ZADD', KEYS[6], batch.first, id))
  redis.call('HINCRBY', KEYS[1], 'events', events)
  redis.call('HINCRBY', KEYS[1], 'bytes', bytes)
  tally(KEYS[10], 'redriven', events)
end
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.pcall('HDEL', KEYS[11], ARGV[1])
redis.call('UNLINK', KEYS[7])
redis.call('HINCRBY', KEYS[1], 'dead', 0 - events)
if ARGV[2] ~= '' then count_drop(KEYS[1], ARGV[2], events) end
note_outcome(noting, KEYS[5], ARGV[1], ARGV[2], events, -1)
return events
