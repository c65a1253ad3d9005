-- note.lua: set fields of a shard's meta hash; also when Redis is out of memory.
-- KEYS[1]  meta    HASH  limits and counters
-- ARGV[1+] field, value, field, value, …
-- Returns  1.
-- Cost     O(1).
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
