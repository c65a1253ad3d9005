-- append.lua: store one event the fast way, in a batch that it neither opens nor fills.
-- That is the usual case, and a web request waits for it. enqueue.lua grants room for a number of events and
-- bytes. If that is used up, or the mark is not at the expected number, the event is left to enqueue.lua,
-- which stores it once under the same mark, whether or not this script has stored it.
-- KEYS[1]  open    LIST    the list being filled
-- KEYS[2]  meta    HASH    limits and counters
-- KEYS[3]  mark    STRING  number of events stored under this producer's mark
-- ARGV[1]  that number with this event included
-- ARGV[2]  the event, JSON
-- Returns  1 stored, 0 left to enqueue.lua.
-- Cost     O(1).
--@include mark
local room = redis.call('HMGET', KEYS[2], 'room_events', 'room_bytes')
local events, bytes = tonumber(room[1] or 0), tonumber(room[2] or 0) - #ARGV[2] - 1
if events < 1 or bytes < 0 then return 0 end

-- The first write is one that Redis denies when it is out of memory. The event comes last: where a command
-- before it is denied to the user, nothing is stored.
local seen = redis.call('SET', KEYS[3], ARGV[1], 'PX', mark_ttl_ms, 'GET')

local function undo(answer)
  if seen then
    redis.call('SET', KEYS[3], seen, 'PX', mark_ttl_ms)
  else
    redis.call('SET', KEYS[3], 0, 'PXAT', 1) -- in the past: the mark is gone, without a further command
  end
  return answer
end

if (seen or 0) + 1 ~= mark_number then return undo(0) end -- seen before, or Redis lost some
local taken = redis.pcall('HSET', KEYS[2], 'room_events', string.format('%d', events - 1),
  'room_bytes', string.format('%d', bytes))
if type(taken) == 'table' then return undo(taken) end
local stored = redis.pcall('LPUSH', KEYS[1], ARGV[2])
if type(stored) == 'table' then
  redis.call('HSET', KEYS[2], 'room_events', room[1], 'room_bytes', room[2])
  return undo(stored)
end
return 1
