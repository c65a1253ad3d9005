-- enqueue.lua: store events once, seal full batches, hand out wake-ups for them, and leave these for a worker.
-- All events are stored, or none: every refusal comes before the first write. The first write is one
-- that Redis denies when it is out of memory.
-- KEYS[1]  open    LIST    the list being filled
-- KEYS[2]  meta    HASH    limits and counters
-- KEYS[3]  ready   ZSET    batch id -> visible from, Unix ms
-- KEYS[4]  info    HASH    batch id -> its line
-- KEYS[5]  slots   ZSET    wake-up token -> time from which it may be lost, Unix ms
-- KEYS[6]  leases  ZSET    batch id -> lease expiry, Unix ms
-- KEYS[7]  mark    STRING  number of events stored under this producer's mark
-- KEYS[8]  births  ZSET    see shared/indexes.lua
-- KEYS[9]  traces  LIST    see shared/contexts.lua
-- KEYS[10] traced  HASH    see shared/contexts.lua
-- KEYS[11+] batch  LIST    names of the batches that this call may seal, in order
-- KEYS[n-1] wakeups, KEYS[n] watched: see keys.py; only with ARGV[5], as they lie in other slots of a Cluster
-- ARGV[1]  that number with these events included; a gap is what Redis lost. Digits far behind the point, too small
--          to change a number of Lua's, tell apart the pushes of clones, which count on from the same number
-- ARGV[2]  the shard's life that the mark belongs to, see limit.lua
-- ARGV[3]  1 to count the events as refused if there is no room; 0 for those that wait elsewhere and come again
-- ARGV[4]  1 if more events of the same call follow, so that reaching the least number seals nothing yet; else 0
-- ARGV[5]  short name of the shard, with which wake-ups are left and the watch is noted here; '' to leave both to
--          the caller
-- ARGV[6]  trace contexts of the events, each as "from to context" and a line's end, from and to counted from 1
--          for the first event; '' for none
-- ARGV[7+] events, JSON
-- Returns  {code, sealed, wakeups, watch}; code 1 stored, 0 stored before, -1 too many events,
--          -2 too many bytes, -3 not registered in this life, -4 too few names given, -5 a clone has
--          used the mark; wakeups slots
--          taken under the first batch name as token, whose wake-ups the caller must leave; watch 1 if the
--          caller must have the shard watched: only one caller is asked, and if it dies before, the patrol
--          finds the shard.
-- Cost     O(k), k = events given; a seal costs the same for any number of events.
local LARGEST_UNPACK = 1000
local MOST_WAKEUPS = 1000 -- as in fleet.py
local FIRST_EVENT, FIRST_NAME = 7, 11

local m = redis.call('HMGET', KEYS[2], 'events_per_request', 'batch_bytes', 'capacity_events',
  'capacity_bytes', 'events', 'bytes', 'open_events', 'open_bytes', 'accepted', 'watched', 'mixed',
  'granted_events', 'room_events', 'granted_bytes', 'room_bytes', 'life', 'batch_events',
  'followed_ms', 'granted', 'room', 'granted_accepted', 'first_ms')
if not m[1] then return { -3, 0, 0, 0 } end
local last = #ARGV
local count = last - FIRST_EVENT + 1
local seen = redis.call('GET', KEYS[7])
local missing = tonumber(ARGV[1]) - (seen or 0) -- these events, and any that Redis lost under this mark
if missing <= 0 then
  local has_digits = string.find(ARGV[1], '.', 1, true)
  local differs = missing < 0 or seen ~= ARGV[1] and string.find(seen, '.', 1, true)
  if has_digits and differs then return { -5, 0, 0, 0 } end
  return { 0, 0, 0, 1 }
end
local lost = math.max(0, missing - count)
if lost > 0 and not seen and ARGV[2] ~= m[16] then return { -3, 0, 0, 0 } end

-- A mark that is gone tells nothing of events where Redis has evicted keys that expire, as marks do.
local function has_evicted()
  local memory, stats = redis.pcall('INFO', 'memory'), redis.pcall('INFO', 'stats')
  return type(memory) == 'string' and type(stats) == 'string'
    and not string.find(memory, 'maxmemory_policy:noeviction', 1, true)
    and string.match(stats, 'evicted_keys:(%d+)') ~= '0'
end
if lost > 0 and not seen and has_evicted() then lost = 0 end

--@include clock
--@include kept_contexts
--@include contexts
--@include drops
--@include in_index
--@include mark
--@include new_contexts
--@include notes
--@include taken
--@include wake
-- A list leaves once it has `limit` events. Where that is a least number, all that is open leaves then, with the
-- last push of the call, in batches of at most `most`.
local limit, most, batch_bytes = tonumber(m[1]), tonumber(m[17] or m[1]), tonumber(m[2])
local is_least, more_follow = most > limit, ARGV[4] == '1'
-- Events that append.lua has stored since it was granted room are not in the counters yet.
local new_events, new_bytes = (m[12] or 0) - (m[13] or 0), (m[14] or 0) - (m[15] or 0)
local uncounted = m[21] ~= m[9] and redis.call('LLEN', KEYS[1]) - (m[7] or 0) - new_events
local taken_events, taken_bytes = taken_of_room(m[19], m[20], m[21], m[9], uncounted)
new_events, new_bytes = new_events + taken_events, new_bytes + taken_bytes
local events, bytes = (m[5] or 0) + new_events, (m[6] or 0) + new_bytes
local open_events, open_bytes = (m[7] or 0) + new_events, (m[8] or 0) + new_bytes
local size, names = 0, FIRST_NAME
for i = FIRST_EVENT, last do size = size + #ARGV[i] + 1 end
local refusal = events + count > tonumber(m[3]) and -1 or bytes + size > tonumber(m[4]) and -2
if refusal then
  if ARGV[3] == '1' then redis.call('HINCRBY', KEYS[2], 'refused', count) end
  return { refusal, 0, 0, 0 }
end
local most_seals = (is_least and 3 or 2) + math.floor(count / most) + 2 * math.floor(size / batch_bytes)
local LAST_NAME = ARGV[5] == '' and #KEYS or #KEYS - 2
if LAST_NAME - FIRST_NAME + 1 < math.min(most_seals, count + 1) then return { -4, 0, 0, 0 } end

-- A mixed list holds events of another program, or more than one batch may hold since the limit was
-- lowered. Only the sweep can slice it, so nothing is sealed here.
local mixed = m[11] or open_events >= most or open_bytes > batch_bytes
local now, first, sealed = nil, nil, 0
local is_enough = open_events + count >= limit
if is_least and m[18] and not is_enough then
  now = now_ms()
  is_enough = is_followed(m[18], now) -- an earlier push of the call has sealed
end
local seals_first = open_events > 0 and not mixed and open_bytes + #ARGV[FIRST_EVENT] + 1 > batch_bytes

-- A command that Redis denies must leave nothing of the push, or a repeat would store it twice: each is tried
-- before the first event. The first is one that Redis denies when it is out of memory.
redis.call('HSET', KEYS[2], 'open_events', m[7] or 0)
local may_seal = is_enough or open_bytes + size > batch_bytes
if may_seal then
  redis.call('ZADD', KEYS[3], 'XX', 0, '')
  redis.call('HGET', KEYS[4], '')
end
if may_seal or open_events == 0 or lost > 0 or not m[10] then now = now or now_ms() end
if lost > 0 then redis.call('HINCRBY', KEYS[2], 'dropped:redis_lost', 0) end
if seals_first then
  mixed = redis.call('LLEN', KEYS[1]) ~= open_events or redis.pcall('RENAME', KEYS[1], KEYS[1]).err ~= nil
end
redis.call('SET', KEYS[7], ARGV[1], 'PX', mark_ttl_ms)

local function forget_mark(answer)
  redis.call('SET', KEYS[7], seen or 0, unpack(seen and { 'PX', mark_ttl_ms } or { 'PXAT', 1 }))
  return answer
end

local function seal()
  local id = string.match(KEYS[names], 'batch:(.*)$')
  first = first or m[22] or now
  if redis.pcall('RENAME', KEYS[1], KEYS[names]).err then
    mixed = true -- denied to this user; the sweep seals
    return
  end
  redis.call('ZADD', KEYS[3], now, id)
  in_index(redis.pcall('ZADD', KEYS[8], first, id))
  redis.call('HSET', KEYS[4], id,
    '0:0:' .. open_events .. ':' .. open_bytes .. ':' .. first .. ':' .. now .. ':')
  hand_contexts_over(KEYS[9], KEYS[10], KEYS[4], first, id, true)
  names, sealed, open_events, open_bytes, first = names + 1, sealed + 1, 0, 0, nil
end

-- Each call's events follow those of the one before: what a push has passed is not looked at again.
local spans, passed = {}, 0
for low, high, context in string.gmatch(ARGV[6], '(%d+) (%d+) ([^\n]+)') do
  spans[#spans + 1] = { low + FIRST_EVENT - 1, high + FIRST_EVENT - 1, context }
end

local function keep_contexts_of(from, to)
  local found = {}
  while spans[passed + 1] and spans[passed + 1][2] < from do passed = passed + 1 end
  for i = passed + 1, #spans do
    if spans[i][1] > to then break end
    found[#found + 1] = spans[i][3]
  end
  local since = first or m[22]
  if #found > 0 and since then keep_contexts(KEYS[9], since, found) end
end

local function push(from, to, bytes)
  if open_events == 0 then first = now end
  local length = redis.pcall('LPUSH', KEYS[1], unpack(ARGV, from, to))
  if type(length) == 'table' then return length end
  open_events, open_bytes = open_events + to - from + 1, open_bytes + bytes
  if spans[1] then keep_contexts_of(from, to) end
  if length ~= open_events then mixed = true end
end

if seals_first and not mixed then
  local denied = redis.pcall('LPUSH', KEYS[names], '') -- RENAME replaces this list
  if type(denied) == 'table' then return forget_mark(denied) end
  seal()
end
local i = FIRST_EVENT
while i <= last do
  local room = mixed and LARGEST_UNPACK or math.min(most - open_events, LARGEST_UNPACK)
  local to, bytes = i - 1, 0
  while to < last and to - i + 1 < room do
    local b = #ARGV[to + 1] + 1
    if not mixed and open_events + to - i + 1 > 0 and open_bytes + bytes + b > batch_bytes then break end
    to, bytes = to + 1, bytes + b
  end
  local denied = push(i, to, bytes)
  if denied then return forget_mark(denied) end
  i = to + 1
  local next_bytes = i <= last and #ARGV[i] + 1 or 0
  if not mixed and (open_events >= most or open_bytes + next_bytes > batch_bytes) then seal() end
end
if is_least and is_enough and not more_follow and not mixed and open_events > 0 then seal() end

events, bytes = events + count, bytes + size
local followed = is_least and is_enough and more_follow and now or 0
local room_events, room_bytes = 0, 0 -- what append.lua may store before anything unusual is due
if open_events > 0 and not mixed and followed == 0 then
  room_events = math.max(0, math.min(limit - 1 - open_events, tonumber(m[3]) - events))
  room_bytes = math.max(0, math.min(batch_bytes - open_bytes, tonumber(m[4]) - bytes))
end
local accepted, room = (m[9] or 0) + new_events + count + lost, as_room(room_events, room_bytes)
local changes = { 'open_events', open_events, 'open_bytes', open_bytes, 'events', events, 'bytes', bytes,
  'accepted', accepted, 'granted', room, 'room', room, 'granted_accepted', accepted }
local function change(...)
  for _, each in ipairs({ ... }) do changes[#changes + 1] = each end
end
if m[12] then change('granted_events', 0, 'room_events', 0, 'granted_bytes', 0, 'room_bytes', 0) end
if first then change('first_ms', first) end
if followed > 0 or m[18] and m[18] ~= '0' then -- the sweep leaves the list to the rest of the call for a moment
  change('followed_ms', followed)
end
if not m[10] then change('watched', now) end
redis.call('HSET', KEYS[2], unpack(changes))
if lost > 0 then
  count_drop(KEYS[2], 'redis_lost', lost)
  redis.call('HSET', KEYS[2], 'redis_lost_ms', now)
end

-- What this user may not write is left to the caller, whose attempt tells why.
local function leave_wakeups(token, number)
  local queue, shard = string.match(ARGV[5], '^(.*):(%d+)$')
  for j = 1, number do
    local text = cjson.encode({ queue, tonumber(shard), token .. ':' .. j })
    local length = redis.pcall('LPUSH', KEYS[#KEYS - 1], text)
    if type(length) == 'table' then return number end
    if length > MOST_WAKEUPS then redis.pcall('LTRIM', KEYS[#KEYS - 1], 0, MOST_WAKEUPS - 1) end
  end
  return 0
end

local wakeups, watch = 0, m[10] and 0 or 1
if watch == 1 and ARGV[5] ~= '' and type(redis.pcall('SADD', KEYS[#KEYS], ARGV[5])) == 'number' then watch = 0 end
if sealed > 0 then
  local w = redis.call('HMGET', KEYS[2], 'parallel', 'slot_ttl_ms', 'paused', 'held_until')
  if not w[3] and not w[4] then
    local k = { ready = KEYS[3], leases = KEYS[6], slots = KEYS[5] }
    local token = string.match(KEYS[FIRST_NAME], 'batch:(.*)$')
    local handed, number = pcall(hand_out_slots, k, now, token, tonumber(w[2]), tonumber(w[1]))
    wakeups = handed and number or 0 -- the next sweep hands them out
    if wakeups > 0 and ARGV[5] ~= '' then wakeups = leave_wakeups(token, wakeups) end
  end
end
return { 1, sealed, wakeups, watch }
