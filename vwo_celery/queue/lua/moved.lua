-- moved.lua: forget a batch that left its queue for a move, and has arrived.
-- KEYS[1]  meta     HASH  counters
-- KEYS[2]  leaving  HASH  batch id -> its record
-- KEYS[3]  batch    LIST  its events
-- KEYS[4]  traced   HASH  see shared/contexts.lua
-- ARGV[1]  batch id
-- ARGV[2]  its heading, as only the caller reads it
-- Returns  the number of its events; 0 if it does not move there.
-- Cost     O(1); the events are freed in the background.
--@include leaving
local state, _, line = read_leaving(KEYS[2], ARGV[1], ARGV[2])
if not state then return 0 end
local events = tonumber(string.match(line, '^%d+:%d+:(%d+):'))
redis.call('HDEL', KEYS[2], '') -- allowed when out of memory, as are all writes after it
redis.call('HINCRBY', KEYS[1], 'moved_out', 0)
redis.call('UNLINK', KEYS[3]) -- if this or one before it is denied, nothing has changed
redis.call('HDEL', KEYS[2], ARGV[1])
redis.pcall('HDEL', KEYS[4], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'leaving', -events)
redis.call('HINCRBY', KEYS[1], 'moved_out', events)
return events
