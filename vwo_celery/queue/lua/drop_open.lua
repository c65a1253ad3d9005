-- drop_open.lua: drop the oldest events of the open list for good, at an operator's request, in bounded steps.
-- Events that another program pushed are entered into the ledger first, so none goes uncounted.
-- KEYS[1]  open    LIST  the list being filled
-- KEYS[2]  meta    HASH  counters
-- KEYS[3]  traces LIST see shared/contexts.lua; they stay while any event does
-- ARGV[1]  most events to drop
-- ARGV[2]  the reason, one word, under which they are counted
-- ARGV[3]  Unix ms; a list that was begun later stays
-- Returns  the number of events dropped; the next call drops more, if it is not 0.
-- Cost     O(1) where all are dropped, and freed in the background; else O(m), m = events dropped, at most
--          MOST_MOVES.
--@include clock
--@include drops
--@include adopt
--@include taken
--@include room
local MOST_MOVES = 500
redis.call('HDEL', KEYS[2], '') -- allowed when out of memory, as are all writes after it
take_room_back(KEYS[2], redis.call('LLEN', KEYS[1]))
local m = redis.call('HMGET', KEYS[2], 'open_events', 'open_bytes', 'mixed', 'first_ms')
local open_events, open_bytes, mixed = tonumber(m[1] or 0), tonumber(m[2] or 0), m[3]
local length, most = redis.call('LLEN', KEYS[1]), tonumber(ARGV[1])
if open_events > 0 and tonumber(m[4] or 0) > tonumber(ARGV[3]) then return 0 end
if length ~= open_events then
  adopt_open(KEYS[1], KEYS[2], open_events, open_bytes)
  if open_events <= 0 then -- the next call goes on with this list
    redis.call('HSET', KEYS[2], 'first_ms', math.min(now_ms(), tonumber(ARGV[3])))
  end
  open_bytes, mixed = 0, true
end
if length == 0 or most <= 0 then return 0 end

now_ms()
redis.call('HSET', KEYS[2], 'open_events', length)
redis.call('HINCRBY', KEYS[2], 'events', 0)
local count, size = 0, 0
if length <= most then
  redis.call('UNLINK', KEYS[1]) -- if this or one since the list was counted is denied, the events are as they were
  count, size = length, open_bytes
else
  while count < math.min(most, MOST_MOVES) do
    local event = redis.call('RPOP', KEYS[1])
    count = count + 1
    if not mixed then size = size + #event + 1 end -- the bytes of a mixed list are not counted
  end
end
redis.call('HINCRBY', KEYS[2], 'events', 0 - count)
redis.call('HINCRBY', KEYS[2], 'bytes', string.format('%d', 0 - size))
redis.call('HSET', KEYS[2], 'open_events', length - count, 'open_bytes', string.format('%d', open_bytes - size))
if count == length then
  redis.call('HDEL', KEYS[2], 'mixed')
  redis.pcall('UNLINK', KEYS[3])
end
count_drop(KEYS[2], ARGV[2], count)
return count
