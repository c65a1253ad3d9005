-- register.lua: store a queue's registration, and raise the number of shards that it ever had.
-- That number is the queue's, not a producer's: a shard that ever held something is never forgotten, and its
-- counters belong to the ledger for good. A lower number of the caller's lowers nothing.
-- KEYS[1]  queues  HASH  queue -> registration, JSON
-- KEYS[2]  shards  HASH  queue -> number of shards that it ever had
-- ARGV[1]  queue
-- ARGV[2]  registration, JSON
-- ARGV[3]  number of shards that the caller knows of
-- ARGV[4]  1 if the caller has looked for shards of releases that kept no number, else 0
-- Returns  {shards, look}: that number; look 1 if none was noted yet, so that the caller must look, and come
--          again. Until then, none is noted.
-- Cost     O(1).
local noted = redis.call('HGET', KEYS[2], ARGV[1])
-- A release that does not keep the number has it in the registration that it left here.
local before = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '"shards":(%d+)')
local shards = math.max(tonumber(ARGV[3]), tonumber(noted) or 1, tonumber(before) or 1)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if not noted and ARGV[4] == '0' then return { shards, 1 } end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%d', shards))
return { shards, 0 }
