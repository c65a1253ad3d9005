-- doubt.lua: mark a queue's registration as one that is about to go, unless somebody registers it again.
-- The mark is white space after the JSON, which every release reads as if it was not there. Whoever registers
-- the queue writes the text anew, without the mark.
-- KEYS[1]  queues  HASH  queue -> registration, JSON
-- ARGV[1]  queue
-- ARGV[2]  the mark: white space that no other caller has
-- Returns  1, or 0 if the queue is not registered.
-- Cost     O(1).
local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then return 0 end
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
redis.call('HSET', KEYS[1], ARGV[1], string.gsub(text, '%s+$', '') .. ARGV[2])
return 1
