-- claim.lua: give the wake-up's slot back, and lease the batch that has waited longest.
-- A batch whose lease ran out goes first: that is a reclaim, and counts as a lost lease of the batch.
-- KEYS[1]  meta    HASH  limits and counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  slots   ZSET  wake-up token -> time from which it may be lost, Unix ms
-- KEYS[6]  births  ZSET  see shared/indexes.lua
-- KEYS[7]  released ZSET see shared/indexes.lua
-- KEYS[8]  tally   HASH  see shared/tally.lua
-- ARGV[1]  the caller's wake-up token, '' for none or from the second claim on
-- ARGV[2]  lease, ms
-- ARGV[3]  token under which further wake-ups may be handed out, unique to this call
-- ARGV[4]  1 to claim for the circuit's probe, even from a held shard; 2 the same, but the newest of the
--          ready batches that were tried least; else 0
-- Returns  {} if nothing may be claimed; {held until} if the shard is held and it is time to ask the
--          circuit; else {id, attempt, lost leases, events, bytes, first ms, sealed ms,
--          now ms, wakeups, results wanted 0|1, delivered ms or 0, size that passed or 0: events, bytes, ms,
--          refusals, id of the batch that is next unless another worker takes it or ''}
-- Cost     O(log n), n = batches, O(n) for a probe with the newest; the same for any number of events in them.
-- A batch whose line cannot be read is hidden for a while, so that the others go on; nothing of it changes.
--@include clock
--@include in_index
--@include indexes
--@include info
--@include tally
--@include wake
local m = redis.call('HMGET', KEYS[1], 'parallel', 'slot_ttl_ms', 'paused', 'held_until', 'results_until',
  'delivered_ms', 'fit_events', 'fit_bytes', 'fit_ms', 'longest_lease_ms', 'fit_refusals')
local now, parallel = now_ms(), tonumber(m[1] or 0)
local held = m[4] and ARGV[4] == '0'
if ARGV[1] ~= '' then redis.call('ZREM', KEYS[5], ARGV[1]) end -- allowed when out of memory
if held and not m[3] and now >= tonumber(m[4]) then return { tonumber(m[4]) } end

local HIDDEN_MS, MOST_HIDDEN, MOST_COMPARED = 60000, 10, 16
local in_flight = redis.call('ZCOUNT', KEYS[3], '(' .. now, '+inf')

local function newest()
  -- What was tried and released stands behind batches that are newer.
  local before = math.max(0, redis.call('ZCOUNT', KEYS[2], '-inf', now) - MOST_COMPARED)
  local id, least
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', before, MOST_COMPARED)) do
    local found = read_info(KEYS[4], other)
    if not least or not found or found.attempt <= least then id, least = other, found and found.attempt or 0 end
  end
  return id
end

local function next_batch()
  local id = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1)[1]
  if id then return id, 1 end
  if ARGV[4] == '2' then return newest(), 0 end
  local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 2)
  return due[1], 0, due[2]
end

local function put_aside(id, line)
  redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
  if line then
    redis.call('ZADD', KEYS[2], now + HIDDEN_MS, id)
  else
    redis.call('ZREM', KEYS[2], id)
    in_index(redis.pcall('ZREM', KEYS[6], id))
    leave_released(KEYS[7], KEYS[1], id)
  end
  redis.call('ZREM', KEYS[3], id)
end

local id, lost, following, batch, line
if not m[3] and not held and in_flight < parallel then
  for _ = 1, MOST_HIDDEN do
    id, lost, following = next_batch()
    if id then batch, line = read_info(KEYS[4], id) end
    if batch or not id then break end
    put_aside(id, line)
  end
end
if not batch then return {} end

-- Until the batch is leased, a command that Redis denies leaves it as it was.
redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
local released = in_index(redis.pcall('ZSCORE', KEYS[7], id))
if released then redis.call('HINCRBY', KEYS[1], 'released_events', 0) end
local lease, longest = tonumber(ARGV[2]), tonumber(m[10] or 0)
local k = { ready = KEYS[2], leases = KEYS[3], slots = KEYS[5] }
local wakeups = m[4] and 0 or hand_out_slots(k, now, ARGV[3], tonumber(m[2]), parallel, nil, 1)
if lease > longest or (in_flight == 0 and lease < longest) then -- the longest of those in flight, for the sweep
  redis.call('HSET', KEYS[1], 'longest_lease_ms', ARGV[2])
end
batch.attempt, batch.lost = batch.attempt + 1, batch.lost + lost
write_info(KEYS[4], id, batch)
local leased = redis.pcall('ZADD', KEYS[3], now + lease, id)
if type(leased) == 'table' then
  redis.call('HSET', KEYS[4], id, line)
  return leased
end
redis.call('ZREM', KEYS[2], id)
if released then leave_released(KEYS[7], KEYS[1], id) end
if lost > 0 then tally(KEYS[8], 'lost_leases', lost) end
return { id, batch.attempt, batch.lost, batch.events, batch.bytes, tonumber(batch.first),
  tonumber(batch.sealed), now, wakeups, tonumber(m[5] or 0) > now and 1 or 0, tonumber(m[6] or 0),
  tonumber(m[7] or 0), tonumber(m[8] or 0), tonumber(m[9] or 0), tonumber(m[11] or 0),
  in_flight == 0 and following or '' }
