-- append.lua: store one event the fast way, in a batch that it neither opens nor fills.
-- That is the usual case, and a web request waits for it. enqueue.lua grants room for a number of events and
-- bytes. If that is used up, or the mark is not as expected, the event is left to enqueue.lua, which stores
-- it once under the same mark, whether or not this script has stored it.
-- KEYS[1]  open    LIST    the list being filled
-- KEYS[2]  meta    HASH    limits and counters
-- KEYS[3]  mark    STRING  number of events stored under this producer's mark
-- ARGV[1]  that number with this event included, as enqueue.lua takes it
-- ARGV[2]  the number that was stored before under this mark, to the last digit
-- ARGV[3]  the event, JSON
-- Returns  1 stored; 2 stored, and the next event opens or fills a batch; 0 left to enqueue.lua.
-- Cost     O(1).
local cost = -4294967297 - #ARGV[3] -- of one event and its bytes with a comma, see shared/room.lua
--@include reserve
if reserved then
  -- The event comes last: what is denied to the user, here or before, stores nothing. A list that is gone,
  -- since somebody deleted it or an older release sealed it, is not opened again here.
  local length = redis.pcall('LPUSHX', KEYS[1], ARGV[3])
  if length ~= 0 and type(length) == 'number' then return left < 4294967296 and 2 or 1 end
end
--@include unreserve
return 0
