-- append.lua: store one event in a batch that it neither opens nor fills, by the shortest way.
-- That is the usual case, and what a web request waits for; whatever is unusual is left to enqueue.lua,
-- which stores the same event under the same mark once, whether or not this script had stored it.
-- KEYS[1]  open    LIST    the list being filled
-- KEYS[2]  meta    HASH    limits and counters
-- KEYS[3]  mark    STRING  sequence number of this producer's last push
-- ARGV[1]  sequence number of this push, rising for each mark
-- ARGV[2]  the event, JSON
-- Returns  1 stored, 0 left to enqueue.lua.
-- Cost     O(1).
local MARK_TTL_MS = '600000'

local m = redis.call('HMGET', KEYS[2], 'events_per_request', 'batch_bytes', 'capacity_events',
  'capacity_bytes', 'events', 'bytes', 'open_events', 'open_bytes', 'accepted', 'watched', 'mixed')
if not m[1] or not m[10] or m[11] then return 0 end
local open_events, open_bytes, size = tonumber(m[7] or 0), tonumber(m[8] or 0), #ARGV[2] + 1
if open_events == 0 or open_events + 1 >= tonumber(m[1]) or open_bytes + size > tonumber(m[2])
  or tonumber(m[5]) >= tonumber(m[3]) or tonumber(m[6]) + size > tonumber(m[4]) then return 0 end

-- The first write is one that Redis denies when it is out of memory. A push that was seen before is
-- undone: the event is still the newest.
redis.call('LPUSH', KEYS[1], ARGV[2])
local seen = redis.call('SET', KEYS[3], ARGV[1], 'PX', MARK_TTL_MS, 'GET')
if seen and tonumber(seen) >= tonumber(ARGV[1]) then
  redis.call('LPOP', KEYS[1])
  redis.call('SET', KEYS[3], seen, 'PX', MARK_TTL_MS)
  return 0
end
redis.call('HSET', KEYS[2],
  'open_events', string.format('%d', open_events + 1), 'open_bytes', string.format('%d', open_bytes + size),
  'events', string.format('%d', m[5] + 1), 'bytes', string.format('%d', m[6] + size),
  'accepted', string.format('%d', m[9] + 1))
return 1
