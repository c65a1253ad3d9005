-- unlist.lua: remove a queue's registration, if nobody has registered it since it was marked; see doubt.lua.
-- KEYS[1]  queues  HASH  queue -> registration, JSON
-- KEYS[2]  shards  HASH  queue -> number of shards that it ever had
-- ARGV[1]  queue
-- ARGV[2]  the mark
-- Returns  1 if the queue is not listed any more, 0 if somebody has registered it.
-- Cost     O(1).
local text = redis.call('HGET', KEYS[1], ARGV[1])
if text and string.sub(text, -#ARGV[2]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1]) -- first: without it, a queue that stays listed is only looked for again
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
