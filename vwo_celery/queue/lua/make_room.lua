-- make_room.lua: drop the oldest events that are not in flight, until a refused push fits.
-- Ready batches go first, in the order in which they would be claimed; then events of the open list.
-- If the push can never fit, nothing is dropped.
-- KEYS[1]  open    LIST  the list being filled
-- KEYS[2]  meta    HASH  limits and counters
-- KEYS[3]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[4]  leases  ZSET  batch id -> lease expiry
-- KEYS[5]  info    HASH  batch id -> its line
-- KEYS[6]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[7]  births  ZSET  see shared/indexes.lua
-- KEYS[8]  released ZSET see shared/indexes.lua
-- KEYS[9]  traces  LIST  see shared/contexts.lua; they stay while any event of the open list does
-- KEYS[10] traced  HASH  see shared/contexts.lua
-- KEYS[11+] batch  LIST  the ready batches that this call may drop, in order
-- ARGV[1]  number of events of the push
-- ARGV[2]  their size, separators included
-- Returns  {dropped, fits}: number of events dropped; fits 1 if the push fits now, and no longer counts as
--          refused; 0 if another call may drop more, -1 if it never fits.
-- Cost     O(b log n + m), b = batches named, m = events dropped from the open list, at most MOST_MOVES.
--@include clock
--@include drops
--@include adopt
--@include in_index
--@include indexes
--@include info
--@include outcome
--@include taken
--@include room
local MOST_MOVES = 250
redis.call('ZREM', KEYS[3], '') -- allowed when out of memory, as are all writes after it

take_room_back(KEYS[2], redis.call('LLEN', KEYS[1]))
local m = redis.call('HMGET', KEYS[2], 'capacity_events', 'capacity_bytes', 'events', 'bytes',
  'open_events', 'open_bytes', 'mixed')
if not m[1] then return { 0, -1 } end
local most_events, most_bytes = m[1] - ARGV[1], m[2] - ARGV[2] -- that may stay
local events, bytes, dropped = tonumber(m[3] or 0), tonumber(m[4] or 0), 0

local held_events, held_bytes = 0, 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
  local batch = read_info(KEYS[5], id) or { events = 0, bytes = 0 }
  held_events, held_bytes = held_events + batch.events, held_bytes + batch.bytes
end
if held_events > most_events or held_bytes > most_bytes then return { 0, -1 } end

-- If Redis denies one of these, or the first removal, nothing has changed.
redis.call('HDEL', KEYS[5], '')
redis.call('HINCRBY', KEYS[2], 'events', 0)
local noting = try_to_note(KEYS[2], KEYS[6])

local function fits() return events <= most_events and bytes <= most_bytes end

local function forget(count, size, reason)
  events, bytes, dropped = events - count, bytes - size, dropped + count
  redis.call('HINCRBY', KEYS[2], 'events', 0 - count)
  redis.call('HINCRBY', KEYS[2], 'bytes', 0 - size)
  if count > 0 then count_drop(KEYS[2], reason, count) end
end

local function drop_batches()
  for i = 11, #KEYS do
    if fits() then return end
    local id = string.match(KEYS[i], 'batch:(.*)$')
    local batch = redis.call('ZSCORE', KEYS[3], id) and read_info(KEYS[5], id)
    if batch then
      local reason = redis.call('UNLINK', KEYS[i]) == 1 and 'oldest' or 'vanished'
      redis.call('HDEL', KEYS[5], id)
      redis.pcall('HDEL', KEYS[10], id)
      redis.call('ZREM', KEYS[3], id)
      in_index(redis.pcall('ZREM', KEYS[7], id))
      leave_released(KEYS[8], KEYS[2], id)
      forget(batch.events, batch.bytes, reason)
      note_outcome(noting, KEYS[6], id, reason, batch.events, batch.sealed)
    end
  end
end

local function drop_from_open()
  local open_events, open_bytes = tonumber(m[5] or 0), tonumber(m[6] or 0)
  local mixed = m[7] or redis.call('LLEN', KEYS[1]) ~= open_events
  if mixed then
    adopt_open(KEYS[1], KEYS[2], open_events, open_bytes)
    events, bytes = events - open_events, bytes - open_bytes
    open_events, open_bytes = redis.call('LLEN', KEYS[1]), 0
    events = events + open_events
  end
  redis.call('HSET', KEYS[2], 'open_events', open_events)
  local count, size, over_events, over_bytes = 0, 0, events - most_events, bytes - most_bytes
  while open_events > count and count < MOST_MOVES and (count < over_events or size < over_bytes) do
    local event = redis.call('RPOP', KEYS[1])
    count = count + 1
    if not mixed then size = size + #event + 1 end -- the bytes of a mixed list are not counted
  end
  forget(count, size, 'oldest')
  redis.call('HSET', KEYS[2], 'open_events', open_events - count, 'open_bytes',
    string.format('%d', open_bytes - size))
  if count == open_events then
    redis.call('HDEL', KEYS[2], 'mixed')
    redis.pcall('UNLINK', KEYS[9])
  end
end

drop_batches()
if not fits() and redis.call('EXISTS', KEYS[3]) == 0 then drop_from_open() end
if not fits() then return { dropped, 0 } end
if redis.call('HINCRBY', KEYS[2], 'refused', 0 - ARGV[1]) < 0 then
  redis.call('HSET', KEYS[2], 'refused', 0)
end
return { dropped, 1 }
