-- sweep.lua: seal events that are old enough, adopt those of other programs, hand out wake-ups.
-- Anyone may run it, any number of times.
-- KEYS[1]  open    LIST  the list being filled
-- KEYS[2]  meta    HASH  limits and counters
-- KEYS[3]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  slots   ZSET  wake-up token -> time from which it may be lost, Unix ms
-- KEYS[6]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[7]  births  ZSET  see shared/indexes.lua
-- KEYS[8]  traces  LIST  see shared/contexts.lua
-- KEYS[9]  traced  HASH  see shared/contexts.lua
-- KEYS[10+] batch  LIST  names of the batches that this call may seal, in order
-- ARGV[1]  1 to seal the open list whatever its age
-- ARGV[2]  wake-up token, unique to this call
-- ARGV[3]  time without events after which a shard counts as idle, ms
-- ARGV[4]  time at which slots were given out, Unix ms, up to which wake-ups without a task are lost
-- Returns  {registered, sealed, wakeups, more, idle, overdue}; more 1 if another call would seal or make
--          visible more, overdue 1 if batches are due and a wake-up that has waited for long may be lost.
-- Cost     O(log n); for events of another program O(n), n = moved, at most MOST_MOVES and those that
--          complete the last batch, and n = left, less than a batch; after a step of the clock O(b log n),
--          b = batches with a delay or lease, and at most MOST_SHOWN others.
--@include clock
--@include kept_contexts
--@include contexts
--@include drops
--@include adopt
--@include in_index
--@include notes
--@include taken
--@include room
--@include wake
local MOST_MOVES, CHUNK = 500, 250
local MOST_SHOWN, MOST_CLAMPED = 1000, 100
redis.call('ZREM', KEYS[5], '') -- allowed when out of memory, as are all writes after it

take_room_back(KEYS[2], redis.call('LLEN', KEYS[1]))
local m = redis.call('HMGET', KEYS[2], 'events_per_request', 'batch_bytes', 'interval_ms', 'parallel',
  'slot_ttl_ms', 'paused', 'open_events', 'open_bytes', 'first_ms', 'mixed', 'watched', 'held_until',
  'longest_lease_ms', 'batch_events', 'followed_ms')
if not m[1] then return { 0, 0, 0, 0, 0, 0 } end
local now, limit, most_events = now_ms(), tonumber(m[1]), tonumber(m[14] or m[1])
local open_events, open_bytes = tonumber(m[7] or 0), tonumber(m[8] or 0)
local first = tonumber(m[9] or now)
if first > now then -- Redis' clock stepped back: else the list would wait until the clock has caught up
  first = now
  if open_events > 0 then redis.call('HSET', KEYS[2], 'first_ms', now) end
end
local length = redis.call('LLEN', KEYS[1])
local name, sealed, moves, more = 10, 0, 0, 0

local function add_batch(events, bytes, since, is_all)
  local id = string.match(KEYS[name], 'batch:(.*)$')
  redis.call('ZADD', KEYS[3], now, id)
  in_index(redis.pcall('ZADD', KEYS[7], since, id))
  redis.call('HSET', KEYS[4], id, '0:0:' .. events .. ':' .. bytes .. ':' .. since .. ':' .. now .. ':')
  hand_contexts_over(KEYS[8], KEYS[9], KEYS[4], since, id, is_all)
  name, sealed = name + 1, sealed + 1
end

-- If Redis denies a command, it must do so before anything of the open list has moved.
local function try_to_seal()
  redis.call('HSET', KEYS[2], 'open_events', open_events)
  redis.call('ZADD', KEYS[3], 'XX', 0, '')
  redis.call('HDEL', KEYS[4], '')
end

local function try_to_slice()
  try_to_seal()
  redis.call('HINCRBY', KEYS[2], 'bytes', 0)
  local new = KEYS[name] -- nothing is there yet
  redis.call('RPOP', new)
  redis.call('LPUSH', new, '')
  redis.call('RPOP', new)
  redis.call('RPUSH', new, '')
  redis.call('RPOP', new)
end

local function adopt()
  adopt_open(KEYS[1], KEYS[2], open_events, open_bytes)
  if open_events <= 0 then first = now end
  open_events, open_bytes = length, 0
  redis.call('HSET', KEYS[2], 'first_ms', first)
end

local function slice()
  -- Move the oldest events, up to a batch; the first always fits, whatever its size.
  local events, bytes, full = 0, 0, false
  while not full and events < most_events and length > 0 do
    local oldest, fit = redis.call('RPOP', KEYS[1], math.min(most_events - events, CHUNK)), 0
    for _, event in ipairs(oldest) do
      full = events + fit > 0 and bytes + #event + 1 > tonumber(m[2])
      if full then break end
      fit, bytes = fit + 1, bytes + #event + 1
    end
    if fit > 0 then redis.call('LPUSH', KEYS[name], unpack(oldest, 1, fit)) end
    for j = #oldest, fit + 1, -1 do redis.call('RPUSH', KEYS[1], oldest[j]) end
    events, length = events + fit, length - fit
  end
  add_batch(events, bytes, first, length == 0)
  redis.call('HINCRBY', KEYS[2], 'bytes', bytes)
  open_events, moves = open_events - events, moves + events
end

-- The list is ours again once its size is known: append.lua and enqueue.lua go on with it as usual.
local function measure()
  local bytes = 0
  for from = 0, length - 1, CHUNK do
    local events = redis.pcall('LRANGE', KEYS[1], from, from + CHUNK - 1)
    if events.err then return end -- denied to this user: it stays mixed
    for _, event in ipairs(events) do bytes = bytes + #event + 1 end
    if bytes > tonumber(m[2]) then return end -- more than one batch, which only a slice divides
  end
  redis.call('HSET', KEYS[2], 'open_bytes', bytes)
  redis.call('HINCRBY', KEYS[2], 'bytes', bytes)
  redis.call('HDEL', KEYS[2], 'mixed')
end

local function is_full()
  return length >= most_events or length >= limit and not is_followed(m[15], now)
end

local mixed = m[10] or length ~= open_events or length > most_events or open_bytes > tonumber(m[2])
local due = length > 0 and (ARGV[1] == '1' or now - first >= tonumber(m[3]))
if length > 0 and not mixed then
  if due or is_full() then
    try_to_seal()
    redis.call('RENAME', KEYS[1], KEYS[name])
    add_batch(length, open_bytes, first, true)
    redis.call('HSET', KEYS[2], 'open_events', 0, 'open_bytes', 0)
    length = 0
  end
elseif length > 0 then
  adopt()
  due = ARGV[1] == '1' or now - first >= tonumber(m[3])
  if due or is_full() then try_to_slice() end
  while length > 0 and (due or is_full()) do
    if moves >= MOST_MOVES or name > #KEYS then more = 1 break end
    slice()
  end
  -- The rest may be as old as the first event was, so the timer goes on.
  redis.call('HSET', KEYS[2], 'open_events', length)
  if length == 0 then redis.call('HDEL', KEYS[2], 'mixed') end
  if length > 0 and more == 0 then measure() end
elseif open_events > 0 then
  -- The open list is gone though events were counted in it: somebody deleted the key.
  adopt_open(KEYS[1], KEYS[2], open_events, open_bytes)
end

local watched, held_until = tonumber(m[11] or 0), tonumber(m[12] or 0)

local function shift_ready(ms, ...)
  local members = redis.call('ZRANGEBYSCORE', KEYS[3], ...)
  for j = 1, #members, 2 do redis.call('ZADD', KEYS[3], members[j + 1] - ms, members[j]) end
  return #members / 2
end

local function undo_step_back()
  -- Every time that was stored before is too late by the step. What was visible then goes first, in parts.
  local step = watched - now
  local shown = shift_ready(step, '(' .. now, watched, 'WITHSCORES', 'LIMIT', 0, MOST_SHOWN)
  if shown == MOST_SHOWN then more = 1 return end
  shift_ready(step, '(' .. watched, '+inf', 'WITHSCORES')
  local latest = now + tonumber(m[13] or 0) -- no lease ends later; one that was given since stays
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '(' .. latest, '+inf')) do
    redis.call('ZADD', KEYS[6], latest, id)
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '(' .. now, '+inf')
  if m[12] then
    held_until = now -- the circuit knows how long it is open
    redis.call('HSET', KEYS[2], 'held_until', now)
  end
  watched = now
  redis.call('HSET', KEYS[2], 'watched', now)
end

-- A busy shard's note is never older than a few seconds, so one from the future shows a step of Redis' clock.
-- No setting of the sweeper is asked: others may give longer delays and leases.
if watched > now + SLIP_MS then undo_step_back() end
local latest = now + LONGEST_MS -- nothing is given for longer: the clock was ahead for a moment, unnoticed
for _, key in ipairs({ KEYS[3], KEYS[5], KEYS[6] }) do
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. latest, '+inf', 'LIMIT', 0, MOST_CLAMPED)) do
    redis.call('ZADD', key, now, member)
  end
end
if held_until > latest then
  held_until = now
  redis.call('HSET', KEYS[2], 'held_until', now)
end

local wakeups, due_batches, overdue = 0, 0, 0
if not m[6] and now >= held_until then
  local k = { ready = KEYS[3], leases = KEYS[6], slots = KEYS[5] }
  local most = m[12] and 1 -- one is enough to ask the circuit for a probe
  local lost_by = math.min(now, tonumber(ARGV[4]) + tonumber(m[5]))
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', lost_by)
  wakeups, due_batches = hand_out_slots(k, now, ARGV[2], tonumber(m[5]), tonumber(m[4]), most)
  if due_batches > 0 and redis.call('ZCOUNT', KEYS[5], '-inf', now) > 0 then overdue = 1 end
end
-- The note that the shard is watched is only renewed here, never made: a flush sweeps any shard, and
-- producers announce a shard only if it has no note.
local idle = 0
local busy = length + redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[6]) > 0
if not busy and now - watched > tonumber(ARGV[3]) then
  idle = 1
elseif busy and m[11] and now - watched > BUSY_NOTE_MS then
  redis.call('HSET', KEYS[2], 'watched', now)
end
return { 1, sealed, wakeups, more, idle, overdue }
