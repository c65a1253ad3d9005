-- gate.lua: open the gate for events that the next command of the same transaction stores.
-- Many events cost Redis twice as much if they pass through Lua. So the transaction is: this script, LPUSHX of all
-- events to the gate, RENAMENX of the gate back to the open list. The gate is the open list itself, under a name
-- that exists only in between; where it does not exist, LPUSHX stores nothing. As with append.lua, what is
-- unusual is left to enqueue.lua, which stores the events once under the same mark in any case.
-- KEYS[1]  open    LIST    the list being filled
-- KEYS[2]  meta    HASH    limits and counters
-- KEYS[3]  mark    STRING  number of events stored under this producer's mark
-- KEYS[4]  gate    LIST    the name of the open list until the transaction ends
-- ARGV[1]  that number with these events included, as enqueue.lua takes it
-- ARGV[2]  the number that was stored before under this mark, to the last digit
-- ARGV[3]  number of the events
-- ARGV[4]  their bytes, and a comma each
-- Returns  1 + the events that still have room after these; 0 left to enqueue.lua; -1 the same for all that follow:
--          the user may not use transactions, or Redis, before 7.0, cannot tell. Outside of one, other
--          commands could come between.
-- Cost     O(1).
if not redis.acl_check_cmd or not redis.acl_check_cmd('MULTI') then return -1 end
local cost = -4294967296 * ARGV[3] - ARGV[4]
--@include reserve
if reserved then
  local length = redis.pcall('LLEN', KEYS[1]) -- an error where another program has put something else
  local renamed = length ~= 0 and type(length) == 'number' and redis.pcall('RENAME', KEYS[1], KEYS[4])
  if renamed and not renamed.err then return 1 + math.floor(left / 4294967296) end
end
--@include unreserve
return 0
