-- due.lua: look at shards, and tell those that a sweep would change.
-- Renews the notes of busy shards, which else only a sweep does.
-- KEYS[1]  open    LIST  the list being filled
-- KEYS[2]  meta    HASH  limits and counters
-- KEYS[3]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[4]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[5]  slots   ZSET  wake-up token -> time from which it may be lost, Unix ms
-- KEYS[6+]               the same of further shards
-- ARGV[1]  time without events after which a shard counts as idle, ms
-- ARGV[2]  time at which slots were given out, Unix ms, up to which wake-ups without a task are lost
-- Returns  {shards to sweep, shards with a wake-up that may be lost, shards with a batch that may be claimed},
--          each by its number, counted from 0.
-- Cost     O(k log n), k = shards, n = batches of one.
--@include clock
--@include notes
--@include taken
local FAMILIES = 5
local now, idle_ms, lost_until = now_ms(), tonumber(ARGV[1]), tonumber(ARGV[2])
local sweeps, overdue, claimable = {}, {}, {}

local function is_open_due(m, length)
  local counted = (m[4] or 0) + (m[8] or 0) - (m[9] or 0) + taken_of_room(m[14], m[15], m[16], m[17], false)
  local first = tonumber(m[5] or now)
  return length ~= counted or length >= tonumber(m[12] or m[1])
    or length >= tonumber(m[1]) and not is_followed(m[13], now)
    or length > 0 and (first > now or now - first >= tonumber(m[2]))
end

local function needs_wakeup(number, m, ready, leases, slots)
  if m[3] or now < tonumber(m[7] or 0) then return false end -- paused or held
  local due = redis.call('ZCOUNT', ready, '-inf', now) + redis.call('ZCOUNT', leases, '-inf', now)
  if due == 0 then return false end
  claimable[#claimable + 1] = number
  local busy = redis.call('ZCOUNT', leases, '(' .. now, '+inf')
  local wanted = math.min(due, tonumber(m[10]) - busy, m[7] and 1 or due)
  if wanted > redis.call('ZCARD', slots) then return true end
  local late = redis.call('ZCOUNT', slots, '-inf', now)
  if late > 0 then overdue[#overdue + 1] = number end
  return late > 0 and redis.call('ZCOUNT', slots, '-inf', math.min(now, lost_until + tonumber(m[11]))) > 0
end

local function is_hidden(m, ready, leases)
  local latest = now + LONGEST_MS
  return tonumber(m[7] or 0) > latest or redis.call('ZCOUNT', ready, '(' .. latest, '+inf') > 0
    or redis.call('ZCOUNT', leases, '(' .. latest, '+inf') > 0
end

local function needs_sweep(number, open, meta, ready, leases, slots)
  local m = redis.call('HMGET', meta, 'events_per_request', 'interval_ms', 'paused', 'open_events', 'first_ms',
    'watched', 'held_until', 'granted_events', 'room_events', 'parallel', 'slot_ttl_ms',
    'batch_events', 'followed_ms', 'granted', 'room', 'granted_accepted', 'accepted')
  if not m[1] then return false end
  local length, watched = redis.call('LLEN', open), tonumber(m[6] or 0)
  if is_open_due(m, length) or watched > now + SLIP_MS then return true end
  local batches = redis.call('ZCARD', ready) + redis.call('ZCARD', leases)
  if length + batches == 0 then return now - watched > idle_ms end
  if batches > 0 and (needs_wakeup(number, m, ready, leases, slots) or is_hidden(m, ready, leases)) then
    return true
  end
  if m[6] and now - watched > BUSY_NOTE_MS then
    redis.call('HDEL', meta, '') -- allowed when out of memory, as are all writes after it
    redis.call('HSET', meta, 'watched', now)
  end
  return false
end

for i = 1, #KEYS, FAMILIES do
  local number = (i - 1) / FAMILIES
  -- The sweep of a shard whose keys answer with an error tells what is wrong.
  local looked, needed = pcall(needs_sweep, number, unpack(KEYS, i, i + FAMILIES - 1))
  if needed or not looked then sweeps[#sweeps + 1] = number end
end
return { sweeps, overdue, claimable }
