-- stage.lua: add a page of events to those of a batch that is about to arrive.
-- Pages that two processes add at once, or that one adds twice, cannot be mixed up: each says what is there.
-- KEYS[1]  staged  LIST  the events so far, newest at the head
-- ARGV[1]  number of events that are there already; with 0, whatever else is there is dropped
-- ARGV[2+] events, oldest first
-- Returns  the number of events that are there now; -1 if it was not the expected one, and nothing is added.
-- Cost     O(n), n = events of the page.
local before = tonumber(ARGV[1])
if before > 0 and redis.call('LLEN', KEYS[1]) ~= before then return -1 end
redis.call('LPUSH', KEYS[1], unpack(ARGV, 2)) -- denied when out of memory
if before == 0 then redis.call('LTRIM', KEYS[1], 0, #ARGV - 2) end
return before + #ARGV - 1
